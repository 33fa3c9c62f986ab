/** Finds tensors that are others with their dimensions in another order. */
import { dataTypes } from '../tensor/dtype.ts'
import type { TensorInfo } from './coding/coding.ts'
import { permuted } from './coding/copy.ts'

/** Dimensions whose orders are tried. */
const maxRank = 4

/** A number that is the same for the same elements in whatever order; undefined where orders are not looked for. */
export function unorderedSum({ dtype, dims }: TensorInfo, data: Uint8Array): number | undefined {
  const width = dataTypes[dtype].bits / 8
  if (width < 1 || dims.filter((d) => d > 1).length < 2 || dims.length > maxRank) return undefined
  let sum = 0
  for (let at = 0; at < data.length; at += width) {
    let element = 0
    for (let b = 0; b < width; b++) element = Math.imul(element ^ data[at + b], 0x9e3779b1)
    sum = (sum + Math.imul(element ^ (element >>> 15), 0x85ebca6b)) | 0
  }
  return sum
}

/** The number of the order of the source's dimensions that gives a tensor's data, if one does. */
export function orderOf(
  source: { readonly info: TensorInfo; readonly data: Uint8Array },
  { info, data }: { readonly info: TensorInfo; readonly data: Uint8Array },
): number | undefined {
  const { dims } = source.info
  for (const order of ordersOf(dims.map((_, i) => i))) {
    if (order.some((axis, i) => dims[axis] !== info.dims[i])) continue
    const number = order.reduce((n, axis, i) => n + axis * 8 ** i, 0)
    const turned = permuted(source.data, source.info, number)
    if (turned.every((b, i) => b === data[i])) return number
  }
  return undefined
}

function ordersOf(axes: readonly number[]): number[][] {
  if (axes.length === 0) return [[]]
  return axes.flatMap((axis) => ordersOf(axes.filter((a) => a !== axis)).map((rest) => [axis, ...rest]))
}
