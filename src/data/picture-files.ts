/**
 * Pictures in a folder as a data set: which files are taken, and which class each is of. Where the files come from (a disk,
 * a person's drop on a page) and how they are decoded is the caller's.
 */
import type { Dataset, Splits } from './dataset.ts'
import type { ImageSize } from './preprocess.ts'
import { halves } from './splits.ts'

const extensions = /\.(jpe?g|png|webp|gif|tiff?|avif)$/i

/** Whether a file has the name of a picture. */
export function isPicture(name: string): boolean {
  return extensions.test(name)
}

export interface Pictures {
  readonly files: readonly { readonly path: string; readonly label: number }[]
  /** Folders with pictures, in alphabetical order; none where the pictures have no labels. */
  readonly classNames: readonly string[]
  /** What was taken and what was not, where a person may have expected something else. */
  readonly note?: string
}

/**
 * The pictures of a folder: those in its sub-folders (however deep), whose names are their classes; where fewer than two
 * sub-folders have pictures, all that there are, without labels. `paths` are within the folder, with forward slashes; those
 * that end in one are folders, which need be listed only where they are empty. Throws one sentence where there is no picture.
 */
export function findPictures(paths: readonly string[], subject: string): Pictures {
  const seen = paths.filter((path) => !path.split('/').some((part) => part.startsWith('.'))).sort(inOrder)
  const files = seen.filter((path) => !path.endsWith('/'))
  const pictures = files.filter(isPicture)
  const others = files.filter((path) => !isPicture(path)).map((path) => path.slice(path.lastIndexOf('/') + 1))
  const own = pictures.filter((path) => !path.includes('/'))
  const folders = [...new Set(seen.filter((path) => path.includes('/')).map((path) => path.split('/')[0]))]
  const within = folders.map((name) => ({ name, images: pictures.filter((path) => path.startsWith(`${name}/`)) }))
  const classes = within.filter(({ images }) => images.length > 0)
  const empty = within.filter(({ images }) => images.length === 0).map(({ name }) => name)
  const labelled = classes.length > 1
  const taken = labelled
    ? classes.flatMap(({ images }, label) => images.map((path) => ({ path, label })))
    : [...own, ...classes.flatMap(({ images }) => images)].map((path) => ({ path, label: 0 }))
  if (taken.length === 0)
    throw new Error(`${subject}: there are no images; expected images, or a folder for each class with images`)
  const skipped = [
    ...(labelled && own.length > 0 ? [`${plural(own.length, 'image')} beside the folders`] : []),
    ...(empty.length > 0 ? [`${plural(empty.length, 'folder')} without images (${some(empty)})`] : []),
    ...(others.length > 0 ? [`${plural(others.length, 'other file')} (${some(others)})`] : []),
  ]
  const what = labelled
    ? `${plural(taken.length, 'image')} of ${classes.length} classes, named by their folders`
    : `${plural(taken.length, 'image')} without labels, for there are no folders of classes`
  const left = skipped.length > 0 ? `; skipped ${skipped.join(', ')}` : ''
  return {
    files: taken,
    classNames: labelled ? classes.map(({ name }) => name) : [],
    ...(labelled && skipped.length === 0 ? {} : { note: `${what}${left}` }),
  }
}

/** By name, the files of a folder before the folders in it. */
function inOrder(a: string, b: string): number {
  const [left, right] = [a.split('/'), b.split('/')]
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [endsLeft, endsRight] = [i === left.length - 1, i === right.length - 1]
    if (endsLeft !== endsRight) return endsLeft ? -1 : 1
    if (left[i] !== right[i]) return left[i] < right[i] ? -1 : 1
  }
  return left.length - right.length
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

function some(names: readonly string[]): string {
  return names.length > 3 ? `${names.slice(0, 3).join(', ')}, …` : names.join(', ')
}

export interface PictureSet {
  readonly dataset: Dataset
  /** What was taken, after the name of the set. */
  readonly note?: string
}

/** A data set of pixels that are decoded: planar uint8, [channels, height, width] of each picture in turn. */
export function pictureSet(
  { files, classNames, note }: Pictures,
  data: Uint8Array,
  { id, size: { channels, height, width } }: { readonly id: string; readonly size: ImageSize },
): PictureSet {
  const labels = { labels: Int32Array.from(files, (f) => f.label), classes: classNames.length, classNames }
  const dataset: Dataset = {
    id,
    length: files.length,
    fields: { image: { shape: [channels, height, width], data, kind: 'image' } },
    ...(classNames.length > 0 ? labels : {}),
  }
  return { dataset, ...(note === undefined ? {} : { note: `${id}: ${note}` }) }
}

/** Interleaved pixels of one picture to planes. */
export function toPlanes(pixels: ArrayLike<number>, planes: Uint8Array, channels: number): void {
  const area = planes.length / channels
  for (let c = 0; c < channels; c++) for (let p = 0; p < area; p++) planes[c * area + p] = pixels[p * channels + c]
}

export interface PictureSource {
  readonly seed: number
  /** What pictures are scaled to; default: they must have the size of the first. */
  readonly imageSize?: ImageSize
  /** Reads the pictures of the folder, or of one folder in it. */
  readonly read: (folder: string | undefined, id: string, imageSize?: ImageSize) => Promise<PictureSet>
}

/** Training and test pictures: those of the folders `train` and `test` (or `val`), or all of them, cut in half. */
export async function pictureSplits(
  folders: readonly string[],
  spec: string,
  { seed, imageSize, read }: PictureSource,
): Promise<Splits> {
  const testName = ['test', 'val', 'validation'].find((name) => folders.includes(name))
  if (!folders.includes('train') || !testName) {
    const { dataset, note } = await read(undefined, spec, imageSize)
    const split = halves(dataset, seed)
    return { ...split, notes: [...(note ? [note] : []), ...(split.notes ?? [])] }
  }
  const train = await read('train', `${spec} (train)`, imageSize)
  const test = await read(testName, `${spec} (${testName})`, imageSize ?? sizeOfFirst(train.dataset))
  const notes = [train.note, test.note].filter((n) => n !== undefined)
  return { train: train.dataset, test: test.dataset, ...(notes.length > 0 ? { notes } : {}) }
}

function sizeOfFirst(dataset: Dataset): ImageSize {
  const [channels, height, width] = dataset.fields.image.shape
  return { channels, height, width }
}
