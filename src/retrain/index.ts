/** The methods of retrain/. Written by `npm run methods` from the files that define them. */
export { finetune } from './finetune.ts'
export { learnSparsity } from './learn-sparsity.ts'
export { progressiveAdmm } from './progressive-admm.ts'
export { pruneInRounds } from './prune-in-rounds.ts'
export { trainQuantised } from './train-quantised.ts'
export { trainShallow } from './train-shallow.ts'
export { trainSmall } from './train-small.ts'
export { trainSparse } from './train-sparse.ts'
