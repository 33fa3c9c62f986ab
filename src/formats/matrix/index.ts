/** The family table: matrix formats. */
export { cla } from './cla.ts'
export { csc } from './csc.ts'
export { cser } from './cser.ts'
export { csrRelative } from './csr-relative.ts'
export { dense } from './dense.ts'
export { hac } from './hac.ts'
export { indexMap } from './index-map.ts'
export { shac } from './shac.ts'
