/**
 * CIFAR-10 and CIFAR-100, binary version: records of one label byte (CIFAR-100: coarse, then fine) and 3072 bytes of
 * planar RGB, 32x32. Source: www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky 2009).
 */
import type { Dataset } from './dataset.ts'
import { checkLabels } from './idx.ts'

export interface CifarFile {
  /** Begins errors. */
  readonly name: string
  readonly bytes: Uint8Array
}

export interface CifarOptions {
  readonly id: string
  /** 10, or 100 for the fine labels of CIFAR-100. */
  readonly classes: 10 | 100
  readonly classNames?: readonly string[]
}

const imageBytes = 3 * 32 * 32

/** The files' records in order as one data set with one field, `image`, of [3,32,32]. */
export function cifarDataset(files: readonly CifarFile[], options: CifarOptions): Dataset {
  const { id, classes, classNames } = options
  const labelBytes = classes === 100 ? 2 : 1
  const recordBytes = labelBytes + imageBytes
  let length = 0
  for (const { name, bytes } of files) {
    if (bytes.length === 0 || bytes.length % recordBytes !== 0) {
      throw new Error(
        `${name}: ${bytes.length} bytes; expected a multiple of ${recordBytes}, a CIFAR-${classes} record`,
      )
    }
    length += bytes.length / recordBytes
  }
  const data = new Uint8Array(length * imageBytes)
  const labels = new Int32Array(length)
  let at = 0
  for (const { bytes } of files) {
    for (let record = 0; record < bytes.length; record += recordBytes) {
      labels[at] = bytes[record + labelBytes - 1]
      data.set(bytes.subarray(record + labelBytes, record + recordBytes), at * imageBytes)
      at++
    }
  }
  return {
    id,
    length,
    fields: { image: { shape: [3, 32, 32], data, kind: 'image' } },
    labels: checkLabels(labels, classes, id),
    classes,
    ...(classNames ? { classNames } : {}),
  }
}
