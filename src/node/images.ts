/**
 * Folders of images, one folder a class, decoded by sharp (an optional dependency). Each image is scaled to cover the
 * wanted size and cropped at its centre; without a size, all images must have the same one.
 */
import { readdirSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Dataset } from '../data/dataset.ts'
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
  return listFolder(path).filter(
    (name) => !name.startsWith('.') && infoOf(join(path, name), 'a file or a folder').isDirectory(),
  )
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

/** Every image of `path/<class>/`, planar uint8, with the classes in alphabetical order of their folders. */
export async function imageFolder(path: string, options: ImageFolderOptions): Promise<Dataset> {
  const { id, progress, signal } = options
  const classNames = foldersIn(path)
  const files = classNames.flatMap((name, label) =>
    listFolder(join(path, name))
      .filter((file) => extensions.test(file))
      .map((file) => ({ file: join(path, name, file), label })),
  )
  if (files.length === 0) throw new Error(`${path}: there are no images; expected a folder for each class with images`)
  const sharp = await loadSharp()
  const size = options.imageSize ?? (await sizeOfImage(sharp, files[0].file))
  const { channels, height, width } = size
  const area = height * width
  if (files.length * channels * area > maxBytes) {
    throw new Error(`${path}: ${files.length} images of ${width}x${height} take more than ${maxBytes} bytes of memory`)
  }
  const data = new Uint8Array(files.length * channels * area)
  for (let i = 0; i < files.length; i++) {
    signal?.throwIfAborted()
    const pixels = await decode(sharp, files[i].file, size, options.imageSize === undefined)
    for (let c = 0; c < channels; c++) {
      const plane = (i * channels + c) * area
      for (let p = 0; p < area; p++) data[plane + p] = pixels[p * channels + c]
    }
    progress?.((i + 1) / files.length, 'reading images')
  }
  return {
    id,
    length: files.length,
    fields: { image: { shape: [channels, height, width], data, kind: 'image' } },
    labels: Int32Array.from(files, (f) => f.label),
    classes: classNames.length,
    classNames,
  }
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
      throw new Error(`it is ${info.width}x${info.height}; expected ${width}x${height}, as the first image is`)
    }
    return data
  } catch (cause) {
    infoOf(file, 'an image')
    throw new Error(`${file}: ${cause instanceof Error ? cause.message.split('\n')[0] : cause}`, { cause })
  }
}
