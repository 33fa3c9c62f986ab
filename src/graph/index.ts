/** The family table: methods that rewrite the graph and change no output. */
export { densify } from './densify.ts'
export { foldBatchNorm } from './fold-batch-norm.ts'
export { gatherShuffles } from './gather-shuffles.ts'
export { inlineFunctions } from './inline-functions.ts'
export { mergeDuplicates } from './merge-duplicates.ts'
export { raiseOperatorSet } from './raise-operator-set.ts'
export { removeUnused } from './remove-unused.ts'
export { stripNotes } from './strip-notes.ts'
