/**
 * Folders of images, one folder per class or all in one without labels, decoded by sharp (an optional dependency). Each image
 * is scaled to cover the wanted size and cropped at its centre; without a size, all images must have the same one.
 */
import { readdirSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Dataset } from '../data/dataset.ts'
import { findPictures, isPicture, pictureSet, toPlanes } from '../data/picture-files.ts'
import type { ImageSize } from '../data/preprocess.ts'
import { stopIfAborted } from '../errors.ts'
import { fileError } from './files.ts'

export interface ImageFolderOptions {
  readonly id: string
  readonly imageSize?: ImageSize
  readonly progress?: (done: number, what: string) => void
  readonly signal?: AbortSignal
}

/** What a data set may take in memory. */
const maxBytes = 2 ** 32

/** Sub-folders of a folder, in alphabetical order. */
export function foldersIn(path: string): string[] {
  // What has an image's name and is a broken link is reported when it is read.
  const isOne = (name: string): boolean =>
    isPicture(name) ? isFolder(join(path, name)) : infoOf(join(path, name), 'a file or a folder').isDirectory()
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

/** All files below a folder, as paths within it, and its own folders, each with a slash at its end. */
function listAll(path: string, prefix = ''): string[] {
  const folders = foldersIn(path)
  const files = listFolder(path).filter((name) => !name.startsWith('.') && !isFolder(join(path, name)))
  return [
    ...files.map((name) => prefix + name),
    ...folders.flatMap((name) => [`${prefix}${name}/`, ...listAll(join(path, name), `${prefix}${name}/`)]),
  ]
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
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
  const { files, classNames, note } = findPictures(listAll(path), path)
  const sharp = await loadSharp()
  const size = options.imageSize ?? (await sizeOfImage(sharp, join(path, files[0].path)))
  const { channels, height, width } = size
  const area = height * width
  if (files.length * channels * area > maxBytes) {
    throw new Error(`${path}: ${files.length} images of ${width}x${height} take more than ${maxBytes} bytes of memory`)
  }
  const data = new Uint8Array(files.length * channels * area)
  const unreadable: Error[] = []
  for (let i = 0; i < files.length && unreadable.length < mostUnreadable; i++) {
    stopIfAborted(signal, 'images')
    const pixels = await decode(sharp, join(path, files[i].path), size, options.imageSize === undefined).catch(
      (error: Error) => {
        unreadable.push(error)
      },
    )
    if (!pixels) continue
    toPlanes(pixels, data.subarray(i * channels * area, (i + 1) * channels * area), channels)
    progress?.((i + 1) / files.length, 'reading images')
  }
  if (unreadable.length > 0) throw new Error(unreadable.map((e) => e.message).join('; '), { cause: unreadable[0] })
  return pictureSet({ files, classNames, note }, data, { id, size })
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
