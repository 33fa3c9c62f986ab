/**
 * IDX, the format of MNIST and Fashion-MNIST, plain or gzipped.
 *
 * Two zero bytes, the element type, the rank, each dimension as a big-endian uint32, then the elements, big-endian.
 * Source: yann.lecun.com/exdb/mnist ("the IDX file format").
 */
import { UnsupportedError } from '../errors.ts'
import { sizeOf } from '../tensor/dtype.ts'
import type { Dataset } from './dataset.ts'
import { inflate, isGzip } from './inflate.ts'

export interface IdxArray {
  readonly dims: readonly number[]
  /** 16-bit elements are widened to 32. */
  readonly data: Uint8Array | Int8Array | Int32Array | Float32Array
}

/** Bytes an element, by the type's code; 64-bit floats are not read. */
const widths: Record<number, number> = { 8: 1, 9: 1, 11: 2, 12: 4, 13: 4 }
/** What one gzipped file may unpack to. */
const maxBytes = 2 ** 31

/** Reads an IDX file; `subject` (its name) begins every error. */
export async function readIdx(file: Uint8Array, subject: string): Promise<IdxArray> {
  const bytes = isGzip(file) ? await inflate(file, 'gzip', { maxBytes, subject }) : file
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0) throw new Error(`${subject}: it is not an IDX file`)
  const type = bytes[2]
  const rank = bytes[3]
  const width = widths[type]
  if (!width) throw new UnsupportedError(`${subject}: IDX element type 0x${type.toString(16)} is not supported`)
  const start = 4 + 4 * rank
  if (rank === 0 || bytes.length < start) throw new Error(`${subject}: its IDX header is cut short`)
  const dims = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i))
  const size = sizeOf(dims)
  if (bytes.length - start !== size * width) {
    throw new Error(
      `${subject}: ${bytes.length - start} bytes of data; expected ${size * width} for [${dims.join(',')}]`,
    )
  }
  return { dims, data: elements(view, type, start, size) }
}

function elements(view: DataView, type: number, start: number, size: number): IdxArray['data'] {
  if (type === 8) return new Uint8Array(view.buffer, view.byteOffset + start, size)
  if (type === 9) return new Int8Array(view.buffer, view.byteOffset + start, size)
  if (type === 13) return Float32Array.from({ length: size }, (_, i) => view.getFloat32(start + 4 * i))
  return Int32Array.from({ length: size }, (_, i) =>
    type === 11 ? view.getInt16(start + 2 * i) : view.getInt32(start + 4 * i),
  )
}

export interface IdxDatasetOptions {
  readonly id: string
  readonly classes: number
  readonly classNames?: readonly string[]
}

/** Grey images [N,H,W] of uint8 and labels [N] as a data set with one field, `image`, of [1,H,W]. */
export function idxDataset(images: IdxArray, labels: IdxArray, options: IdxDatasetOptions): Dataset {
  const { id, classes, classNames } = options
  const [length, height, width] = images.dims
  if (images.dims.length !== 3 || !(images.data instanceof Uint8Array)) {
    throw new Error(`${id}: images of shape [${images.dims.join(',')}]; expected [N,H,W] of uint8`)
  }
  if (labels.dims.length !== 1 || labels.dims[0] !== length) {
    throw new Error(`${id}: labels of shape [${labels.dims.join(',')}]; expected [${length}], one per image`)
  }
  return {
    id,
    length,
    fields: { image: { shape: [1, height, width], data: images.data, kind: 'image' } },
    labels: checkLabels(Int32Array.from(labels.data), classes, id),
    classes,
    ...(classNames ? { classNames } : {}),
  }
}

/** The labels, if each is within [0, classes). */
export function checkLabels(labels: Int32Array, classes: number, id: string): Int32Array {
  const wrong = labels.findIndex((label) => label < 0 || label >= classes)
  if (wrong >= 0) throw new Error(`${id}: sample ${wrong} has label ${labels[wrong]}; expected 0 to ${classes - 1}`)
  return labels
}
