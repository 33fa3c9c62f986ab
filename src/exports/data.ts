/** `coppice/data`: readers of data sets from bytes, ways to cut and draw samples, and binding them to a model's inputs. */
export type { ReadOptions } from '../data/answers.ts'
export { type AugmentOptions, augment } from '../data/augment.ts'
export { type BoundBatcher, batcherFor, requiredInputs } from '../data/batcher.ts'
export { type BatchOptions, batches, first, splitDataset, splitIndices, subset } from '../data/batches.ts'
export { type BoundSplits, bindSplits } from '../data/bind-splits.ts'
export { type CifarFile, type CifarOptions, cifarDataset } from '../data/cifar.ts'
export { type CsvOptions, csvDataset } from '../data/csv.ts'
export type { Batcher, Dataset, Field, Preprocess, Splits } from '../data/dataset.ts'
export { drawDigits } from '../data/digits.ts'
export { type BoundData, type DataHandle, dataHandle, drawApart, drawSamples, type Take } from '../data/handle.ts'
export { type IdxArray, type IdxDatasetOptions, idxDataset, readIdx } from '../data/idx.ts'
export { type NpyArray, readNpy, readNpz, writeNpy, writeNpz } from '../data/npy.ts'
export { npzSplits } from '../data/npz-dataset.ts'
export {
  findPictures,
  isPicture,
  type PictureSet,
  type PictureSource,
  type Pictures,
  pictureSet,
  pictureSplits,
  toPlanes,
} from '../data/picture-files.ts'
export {
  type GuessedPreprocess,
  guessPreprocess,
  type ImageSize,
  imageSizeOf,
  type PreprocessOptions,
  spelledOut,
} from '../data/preprocess.ts'
export { preprocessOptions, preprocessTable, readOptions, readTable } from '../data/read-options.ts'
export { planeResizer, type Size } from '../data/resize.ts'
export { rotations } from '../data/rotations.ts'
export { checkSplits, halves } from '../data/splits.ts'
