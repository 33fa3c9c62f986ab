/** The family table: pruning methods. */
export { magnitude } from './magnitude.ts'
export { obd } from './obd.ts'
export { obs } from './obs.ts'
export { taylor } from './taylor.ts'
