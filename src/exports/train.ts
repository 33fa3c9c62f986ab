/** `coppice/train`: the training loop and what it is given: losses, optimisers, schedules, regimes, checkpoints. */
export type { AugmentOptions } from '../data/augment.ts'
export type { Engine } from '../grad/engine.ts'
export type { Emitter } from '../ops/grad/emit.ts'
export { type Checkpoint, type CheckpointStore, decodeCheckpoint, encodeCheckpoint } from '../train/checkpoint.ts'
export { chooseEngine, type EngineChoice } from '../train/choose-engine.ts'
export { type Loss, type LossName, losses } from '../train/losses.ts'
export { type AdamOptions, adam, type Optimizer, type SgdOptions, sgd, type UpdateParts } from '../train/optimizers.ts'
export type {
  Arrays,
  Batch,
  Changes,
  Json,
  MaskedParameter,
  Noise,
  Projection,
  ProjectionInput,
  Regime,
  RegimeParts,
  Setting,
  StateScope,
  StateTensor,
  Term,
  TermScope,
} from '../train/regime.ts'
export { type AdmmOptions, type AdmmTarget, admm } from '../train/regimes/admm.ts'
export { type BayesianGroupsOptions, bayesianGroups } from '../train/regimes/bayesian-groups.ts'
export { type CodedSizeOptions, codedSize } from '../train/regimes/coded-size.ts'
export { type DistillOptions, distill } from '../train/regimes/distill.ts'
export { type GroupLassoOptions, groupLasso } from '../train/regimes/group-lasso.ts'
export { type GrowingPenaltyOptions, growingPenalty } from '../train/regimes/growing-penalty.ts'
export { keepZeros } from '../train/regimes/keep-zeros.ts'
export { type L0Options, l0 } from '../train/regimes/l0.ts'
export { l1, l2 } from '../train/regimes/penalty.ts'
export { type GateGroup, type GateMember, inputGates, weightGates } from '../train/regimes/remade-weights.ts'
export { type ShortcutSite, type ShortcutsOptions, shortcutSites, shortcuts } from '../train/regimes/shortcuts.ts'
export { type SoftMaskOptions, softMask } from '../train/regimes/soft-mask.ts'
export { type TieOptions, tie } from '../train/regimes/tie.ts'
export { topK } from '../train/regimes/top-k.ts'
export { type UnitGroup, unitNorms } from '../train/regimes/unit-norms.ts'
export {
  type VariationalDropoutOptions,
  variationalDropout,
} from '../train/regimes/variational-dropout.ts'
export {
  constant,
  cosine,
  exponential,
  type Schedule,
  type ScheduleTime,
  stepDecay,
  warmUp,
} from '../train/schedules.ts'
export { train } from '../train/train.ts'
export type { CheckpointOptions, EpochRecord, Progress, Trained, TrainOptions } from '../train/train-options.ts'
export { type ValidateOptions, type Validation, validate } from '../train/validate.ts'
