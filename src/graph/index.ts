/** The family table: methods that rewrite the graph and change no output. */
export { foldBatchNorm } from './fold-batch-norm.ts'
export { gatherShuffles } from './gather-shuffles.ts'
export { inlineFunctions } from './inline-functions.ts'
export { removeUnused } from './remove-unused.ts'
