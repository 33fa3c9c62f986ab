/** Pictures that a person chose, decoded by the browser. */
import {
  findPictures,
  type ImageSize,
  type PictureSet,
  pictureSet,
  pictureSplits,
  planeResizer,
  type Splits,
} from 'coppice/data'
import type { NamedFile, Tell } from './messages.ts'

/** What a data set may take in memory. */
const maxBytes = 2 ** 31

export interface PictureOptions {
  readonly spec: string
  readonly seed: number
  readonly imageSize?: ImageSize
  readonly tell?: Tell
}

/** Files of a folder, whose paths are within it. */
export function loadPictures(files: readonly NamedFile[], { spec, tell, ...options }: PictureOptions): Promise<Splits> {
  const byPath = new Map(files.map(({ path, file }) => [path, file]))
  const folders = [...new Set(files.filter(({ path }) => path.includes('/')).map(({ path }) => path.split('/')[0]))]
  return pictureSplits(folders, spec, {
    ...options,
    async read(folder, id, imageSize) {
      const prefix = folder === undefined ? '' : `${folder}/`
      const paths = [...byPath.keys()]
        .filter((path) => path.startsWith(prefix))
        .map((path) => path.slice(prefix.length))
      return readSet(paths, (path) => byPath.get(prefix + path) as File, { id, imageSize, tell })
    },
  })
}

async function readSet(
  paths: readonly string[],
  fileOf: (path: string) => File,
  { id, imageSize, tell }: { readonly id: string; readonly imageSize?: ImageSize; readonly tell?: Tell },
): Promise<PictureSet> {
  const pictures = findPictures(paths, id)
  const first = await pixelsOf(pictures.files[0].path, fileOf(pictures.files[0].path))
  const size = imageSize ?? { channels: first.grey ? 1 : 3, height: first.height, width: first.width }
  const each = size.channels * size.height * size.width
  if (pictures.files.length * each > maxBytes)
    throw new Error(`${id}: ${pictures.files.length} pictures take more than ${maxBytes} bytes of memory`)
  const data = new Uint8Array(pictures.files.length * each)
  for (const [i, { path }] of pictures.files.entries()) {
    const pixels = await pixelsOf(path, fileOf(path))
    if (!imageSize && (pixels.width !== size.width || pixels.height !== size.height))
      throw new Error(
        `${path}: it is ${pixels.width}x${pixels.height}; expected ${size.width}x${size.height}, as the first picture is, for the model does not say what size it takes`,
      )
    fill(pixels, size, data.subarray(i * each, (i + 1) * each))
    tell?.((i + 1) / pictures.files.length, 'reading pictures')
  }
  return pictureSet(pictures, data, { id, size })
}

interface Pixels {
  readonly width: number
  readonly height: number
  /** Four bytes per pixel. */
  readonly rgba: Uint8ClampedArray
  readonly grey: boolean
}

async function pixelsOf(path: string, file: File): Promise<Pixels> {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none' }).catch((cause) => {
    throw new Error(`${path}: it is not a picture that this browser can read`, { cause })
  })
  const { width, height } = bitmap
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })
  if (!context) throw new Error(`${path}: ${width}x${height} pixels are more than this browser can read`)
  // What shows through is black, as on the command line.
  context.fillRect(0, 0, width, height)
  context.drawImage(bitmap, 0, 0)
  bitmap.close()
  const { data } = context.getImageData(0, 0, width, height)
  let grey = true
  for (let i = 0; i < data.length && grey; i += 4) grey = data[i] === data[i + 1] && data[i] === data[i + 2]
  return { width, height, rgba: data, grey }
}

/** The picture scaled to cover the size and cropped at its centre, as planes. */
function fill(pixels: Pixels, size: ImageSize, planes: Uint8Array): void {
  const { width, height } = pixels
  const area = size.width * size.height
  const scale = Math.max(size.width / width, size.height / height)
  const cut = [size.height, size.width].map((to, i) => Math.min(i === 0 ? height : width, Math.round(to / scale)))
  const [top, left] = [(height - cut[0]) >> 1, (width - cut[1]) >> 1]
  const resize = planeResizer([cut[0], cut[1]], [size.height, size.width])
  const cropped = new Uint8Array(cut[0] * cut[1])
  for (let c = 0; c < size.channels; c++) {
    const plane = planeOf(pixels, size.channels === 1 && !pixels.grey ? 'luminance' : c)
    if (width === size.width && height === size.height) {
      planes.set(plane, c * area)
      continue
    }
    for (let y = 0; y < cut[0]; y++) {
      const row = (top + y) * width + left
      cropped.set(plane.subarray(row, row + cut[1]), y * cut[1])
    }
    const resized = resize(cropped, 0)
    for (let p = 0; p < area; p++) planes[c * area + p] = Math.round(resized[p])
  }
}

function planeOf({ rgba }: Pixels, which: number | 'luminance'): Uint8Array {
  if (which === 'luminance') return luminance(rgba)
  const plane = new Uint8Array(rgba.length / 4)
  for (let p = 0; p < plane.length; p++) plane[p] = rgba[4 * p + which]
  return plane
}

/** Grey of colours, weighted in linear light (Rec. 709). */
function luminance(rgba: Uint8ClampedArray): Uint8Array {
  const linear = Float64Array.from({ length: 256 }, (_, i) =>
    i / 255 <= 0.04045 ? i / 255 / 12.92 : ((i / 255 + 0.055) / 1.055) ** 2.4,
  )
  return Uint8Array.from({ length: rgba.length / 4 }, (_, i) => {
    const y = 0.2126 * linear[rgba[4 * i]] + 0.7152 * linear[rgba[4 * i + 1]] + 0.0722 * linear[rgba[4 * i + 2]]
    return Math.round(255 * (y <= 0.0031308 ? 12.92 * y : 1.055 * y ** (1 / 2.4) - 0.055))
  })
}
