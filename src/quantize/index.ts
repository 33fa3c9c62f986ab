/** The family table: quantisation methods. */
export { int8 } from './int8.ts'
