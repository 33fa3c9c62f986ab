/** `coppice/train`: the training loop and what it is given: losses, optimisers, schedules, terms, projections, checkpoints. */
export type { AugmentOptions } from '../data/augment.ts'
export type { Engine } from '../grad/engine.ts'
export type { Emitter } from '../ops/grad/emit.ts'
export { type Checkpoint, type CheckpointStore, decodeCheckpoint, encodeCheckpoint } from '../train/checkpoint.ts'
export { chooseEngine, type EngineChoice } from '../train/choose-engine.ts'
export { type Loss, type LossName, losses } from '../train/losses.ts'
export { type AdamOptions, adam, type Optimizer, type SgdOptions, sgd, type UpdateParts } from '../train/optimizers.ts'
export {
  constant,
  cosine,
  exponential,
  type Schedule,
  type ScheduleTime,
  stepDecay,
  warmUp,
} from '../train/schedules.ts'
export {
  keepZeros,
  l1,
  l2,
  type MaskedParameter,
  type Projection,
  type Term,
  type TermScope,
  tie,
  topK,
} from '../train/terms.ts'
export {
  type CheckpointOptions,
  type EpochRecord,
  type Progress,
  type Trained,
  type TrainOptions,
  train,
} from '../train/train.ts'
export { type ValidateOptions, type Validation, validate } from '../train/validate.ts'
