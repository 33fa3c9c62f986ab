/**
 * Folders of images, one folder per class or all in one without labels, decoded by sharp (an optional dependency). Each image
 * is scaled to cover the wanted size and cropped at its centre; without a size, all images must have the same one.
 */
import { readdirSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Dataset } from '../data/dataset.ts'
import { stopIfAborted } from '../errors.ts'
import { fileError } from './files.ts'

export interface ImageSize {
  /** 1 (grey) or 3 (RGB). */
  readonly channels: number
  readonly height: number
  readonly width: number
}

export interface ImageFolderOptions {
  readonly id: string
  readonly imageSize?: ImageSize
  readonly progress?: (done: number, what: string) => void
  readonly signal?: AbortSignal
}

/** What a data set may take in memory. */
const maxBytes = 2 ** 32
const extensions = /\.(jpe?g|png|webp|gif|tiff?|avif)$/i

/** Sub-folders of a folder, in alphabetical order. */
export function foldersIn(path: string): string[] {
  // What has an image's name and is a broken link is reported when it is read.
  const isOne = (name: string): boolean =>
    extensions.test(name) ? isFolder(join(path, name)) : infoOf(join(path, name), 'a file or a folder').isDirectory()
  return listFolder(path).filter((name) => !name.startsWith('.') && isOne(name))
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path).sort()
  } catch (cause) {
    throw fileError(path, cause)
  }
}

/** What a file in a listing is; throws one sentence where it is a link to nothing, or may not be looked at. */
function infoOf(path: string, expected: string): Stats {
  try {
    return statSync(path)
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException
    if (!['ENOENT', 'ELOOP'].includes(code)) throw fileError(path, cause)
    throw new Error(`${path}: it is a link that leads nowhere; expected ${expected}`, { cause })
  }
}

interface Found {
  readonly files: readonly { readonly path: string; readonly label: number }[]
  /** Folders with images, in alphabetical order; none where the images have no labels. */
  readonly classNames: readonly string[]
  /** What was taken and what was not, where a person may have expected something else. */
  readonly note?: string
}

/**
 * The images of a folder: those in its sub-folders (however deep), whose names are their classes; where fewer than two
 * sub-folders have images, all that there are, without labels.
 */
function findImages(path: string): Found {
  const others: string[] = []
  const own = imagesIn(path, others)
  const folders = foldersIn(path).map((name) => ({ name, images: imagesBelow(join(path, name), others) }))
  const classes = folders.filter(({ images }) => images.length > 0)
  const empty = folders.filter(({ images }) => images.length === 0).map(({ name }) => name)
  const labelled = classes.length > 1
  const files = labelled
    ? classes.flatMap(({ images }, label) => images.map((image) => ({ path: image, label })))
    : [...own, ...classes.flatMap(({ images }) => images)].map((image) => ({ path: image, label: 0 }))
  if (files.length === 0)
    throw new Error(`${path}: there are no images; expected images, or a folder for each class with images`)
  const skipped = [
    ...(labelled && own.length > 0 ? [`${plural(own.length, 'image')} beside the folders`] : []),
    ...(empty.length > 0 ? [`${plural(empty.length, 'folder')} without images (${some(empty)})`] : []),
    ...(others.length > 0 ? [`${plural(others.length, 'other file')} (${some(others)})`] : []),
  ]
  const taken = labelled
    ? `${plural(files.length, 'image')} of ${classes.length} classes, named by their folders`
    : `${plural(files.length, 'image')} without labels, for there are no folders of classes`
  const left = skipped.length > 0 ? `; skipped ${skipped.join(', ')}` : ''
  return {
    files,
    classNames: labelled ? classes.map(({ name }) => name) : [],
    ...(labelled && skipped.length === 0 ? {} : { note: `${taken}${left}` }),
  }
}

function imagesIn(path: string, others: string[]): string[] {
  const files = listFolder(path).filter((name) => !name.startsWith('.') && !isFolder(join(path, name)))
  for (const name of files) if (!extensions.test(name)) others.push(name)
  return files.filter((name) => extensions.test(name)).map((name) => join(path, name))
}

function imagesBelow(path: string, others: string[]): string[] {
  return [...imagesIn(path, others), ...foldersIn(path).flatMap((name) => imagesBelow(join(path, name), others))]
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

function some(names: readonly string[]): string {
  return names.length > 3 ? `${names.slice(0, 3).join(', ')}, …` : names.join(', ')
}

/** How many files that cannot be read are named at once. */
const mostUnreadable = 5

/**
 * Every image of a folder, planar uint8: of `path/<class>/` with the classes in alphabetical order of their folders, or of
 * the folder itself without labels. The note says what was taken. Throws one sentence that names the files that cannot be
 * read.
 */
export async function imageFolder(
  path: string,
  options: ImageFolderOptions,
): Promise<{ readonly dataset: Dataset; readonly note?: string }> {
  const { id, progress, signal } = options
  const { files, classNames, note } = findImages(path)
  const sharp = await loadSharp()
  const size = options.imageSize ?? (await sizeOfImage(sharp, files[0].path))
  const { channels, height, width } = size
  const area = height * width
  if (files.length * channels * area > maxBytes) {
    throw new Error(`${path}: ${files.length} images of ${width}x${height} take more than ${maxBytes} bytes of memory`)
  }
  const data = new Uint8Array(files.length * channels * area)
  const unreadable: Error[] = []
  for (let i = 0; i < files.length && unreadable.length < mostUnreadable; i++) {
    stopIfAborted(signal, 'images')
    const pixels = await decode(sharp, files[i].path, size, options.imageSize === undefined).catch((error: Error) => {
      unreadable.push(error)
    })
    if (!pixels) continue
    for (let c = 0; c < channels; c++) {
      const plane = (i * channels + c) * area
      for (let p = 0; p < area; p++) data[plane + p] = pixels[p * channels + c]
    }
    progress?.((i + 1) / files.length, 'reading images')
  }
  if (unreadable.length > 0) throw new Error(unreadable.map((e) => e.message).join('; '), { cause: unreadable[0] })
  const labels = { labels: Int32Array.from(files, (f) => f.label), classes: classNames.length, classNames }
  const dataset: Dataset = {
    id,
    length: files.length,
    fields: { image: { shape: [channels, height, width], data, kind: 'image' } },
    ...(classNames.length > 0 ? labels : {}),
  }
  return { dataset, ...(note === undefined ? {} : { note: `${id}: ${note}` }) }
}

type Sharp = typeof import('sharp').default

async function loadSharp(): Promise<Sharp> {
  try {
    return (await import('sharp')).default
  } catch (cause) {
    throw new Error('images: the package sharp, which reads them, is not installed; expected `npm install sharp`', {
      cause,
    })
  }
}

async function sizeOfImage(sharp: Sharp, file: string): Promise<ImageSize> {
  const { width, height, channels } = await sharp(file)
    .metadata()
    .catch((cause) => {
      infoOf(file, 'an image')
      throw new Error(`${file}: it is not an image that can be read`, { cause })
    })
  return { width, height, channels: channels < 3 ? 1 : 3 }
}

/** Interleaved pixels. */
async function decode(sharp: Sharp, file: string, size: ImageSize, exact: boolean): Promise<Uint8Array> {
  const { channels, height, width } = size
  try {
    const image = sharp(file)
      .flatten()
      .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    if (!exact) image.resize(width, height, { fit: 'cover' })
    const { data, info } = await image.raw().toBuffer({ resolveWithObject: true })
    if (info.width !== width || info.height !== height || info.channels !== channels) {
      throw new Error(
        `it is ${info.width}x${info.height}; expected ${width}x${height}, as the first image is (--input-shape gives the size to bring all to)`,
      )
    }
    return data
  } catch (cause) {
    infoOf(file, 'an image')
    throw new Error(`${file}: ${cause instanceof Error ? cause.message.split('\n')[0] : cause}`, { cause })
  }
}
