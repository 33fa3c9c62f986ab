/** The methods of factorize/. Written by `npm run methods` from the files that define them. */
export { cp } from './cp.ts'
export { filterGroups } from './filter-groups.ts'
export { spatialSvd } from './spatial-svd.ts'
export { svd } from './svd.ts'
export { tucker } from './tucker.ts'
