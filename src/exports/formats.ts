/**
 * `coppice/formats`: the packed file (`packModel`, `unpackModel`, `openCop`), and matrix formats that multiply on their encoded
 * bytes (HAC, sHAC, CSC, ...).
 */

export { isPacked } from '../formats/container.ts'
export { type ByteSource, type CopFile, type OpenCopOptions, openCop, type TensorEntry } from '../formats/cop-file.ts'
export type { Mode } from '../formats/entropy/integer-coder.ts'
export { matrixOfWeight, weightOfMatrix } from '../formats/matrix/convolution.ts'
export { cla, csc, cser, csrRelative, dense, hac, indexMap, shac } from '../formats/matrix/index.ts'
export type { Matrix, MatrixFormat, MatrixStatistics, OpenedMatrix, OpenOptions } from '../formats/matrix/matrix.ts'
export { openMatrix } from '../formats/matrix/open.ts'
export { type MeasuredStatistics, statisticsOf } from '../formats/matrix/statistics.ts'
export {
  type GroupStore,
  type PackOnOptions,
  type PackOptions,
  packedSizeOn,
  packModel,
  packModelInto,
  packModelOn,
} from '../formats/pack.ts'
export { type UnpackOnOptions, unpackModel, unpackOnnx, unpackOnnxOn } from '../formats/unpack.ts'
export type { UnpackOptions } from '../formats/unpack-onnx.ts'
export { type Pool, type Thread, type ThreadEvents, threadPool } from '../threads/pool.ts'
export { type Answer, answerTo, type SentTask } from '../threads/tasks.ts'
export type { Workers } from '../workers.ts'
