/** The family table: pruning methods. */
export { magnitude } from './magnitude.ts'
