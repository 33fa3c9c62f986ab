/** `coppice/evaluate`: accuracy, agreement with a reference, latency, sizes, and how sparse each layer may be. */
export { type Accuracy, type EvaluateOptions, evaluateAccuracy, evaluateAnswers } from '../evaluate/accuracy.ts'
export { type CheckOptions, checkPreprocess, type PreprocessFinding } from '../evaluate/check-preprocess.ts'
export {
  type Agreement,
  type Comparison,
  compareModels,
  type MeasureOptions,
  type Side,
  type Subject,
} from '../evaluate/compare.ts'
export { type DataWarningOptions, dataWarnings } from '../evaluate/data-warnings.ts'
export { type FileParts, type FileWithParts, filePartsOf, partsBeside, partsInWords } from '../evaluate/file-parts.ts'
export { type Contender, type Latency, type LatencyOptions, measureLatency, type Spread } from '../evaluate/latency.ts'
export { preprocessWarnings } from '../evaluate/preprocess-warnings.ts'
export { findRandomInputs, type RandomInputOptions, type RandomInputs } from '../evaluate/random-inputs.ts'
export { type Compressor, type Compressors, measureSizes, type Sizes } from '../evaluate/size.ts'
export type { Trial } from '../evaluate/trial.ts'
export {
  type Retraining,
  recommend,
  type ScanCurve,
  type ScanOptions,
  type ScanPoint,
  type ScanResult,
  type Score,
  scan,
} from '../search/scan.ts'
export { type SpeedUp, type SpeedVerdict, speedInWords, speedVerdict } from '../speed-up.ts'
export { type GuessOptions, guessTask } from '../task/guess.ts'
export { type Judge, type JudgedBatch, type JudgeOptions, type OutputJudgement, openJudge } from '../task/judge.ts'
export { type MaxLoss, parseMaxLoss } from '../task/max-loss.ts'
export { parseTask } from '../task/task.ts'
export { answeredHandle, answeredSamples, type LeftOut } from '../task/unanswered.ts'
export { type Finding, type LossUnit, type Verdict, type VerdictOptions, verdictOf } from '../task/verdict.ts'
