/** The methods of prune/. Written by `npm run methods` from the files that define them. */
export { channels } from './channels.ts'
export { lamp } from './lamp.ts'
export { magnitude } from './magnitude.ts'
export { mergeFilters } from './merge-filters.ts'
export { obd } from './obd.ts'
export { obs } from './obs.ts'
export { removeDead } from './remove-dead.ts'
export { taylor } from './taylor.ts'
