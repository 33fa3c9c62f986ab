/** Finds tensors that are close to earlier ones of their type and size, as averages of weights and copies trained a little further are. */
import { dataTypes } from '../tensor/dtype.ts'
import { addElements, beside, besideEncoder, differencesInfo } from './coding/beside.ts'
import { chooseForm } from './coding/choose-form.ts'
import type { Coded, TensorInfo } from './coding/coding.ts'
import { estimateBits } from './coding/coding.ts'
import { differences } from './coding/stream-form.ts'
import { type CodedTensor, maxIntegers } from './tensor-coder.ts'

/** Elements by which tensors are compared before their differences are looked at. */
const sampleSize = 32
/** A tensor is compared with so many earlier ones at most: the latest. */
const mostCompared = 512
/** Differences must take so much less than the tensor alone, by their sample and then by their estimate. */
const worthwhile = 0.85

/** A few elements' bits from all over a tensor; none where differences are not taken. */
export function sampleOf(info: TensorInfo, data: Uint8Array): Int32Array {
  const { size, dtype } = info
  if (!differencesInfo(info) || size < 2 * sampleSize || size > maxIntegers) return new Int32Array(0)
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  return Int32Array.from({ length: sampleSize }, (_, i) => {
    const at = Math.floor(((i + 0.5) * size) / sampleSize)
    return dataTypes[dtype].bits === 16 ? view.getInt16(2 * at, true) : view.getInt32(4 * at, true)
  })
}

interface Part extends CodedTensor {
  readonly read: () => Uint8Array
  readonly bits: number
}

/** Parts that are close to earlier ones become their differences, as `besideEncoder` takes them. `isFree` says which may change. */
export function findBeside<P extends Part>(
  parts: readonly P[],
  samples: readonly Int32Array[],
  isFree: readonly boolean[],
): P[] {
  const seen = new Map<string, number[]>()
  return parts.map((part, here) => {
    const { info } = part
    if (!isFree[here] || samples[here].length === 0) return part
    const key = `${info.dtype} ${info.size}`
    const earlier = seen.get(key) ?? []
    seen.set(key, earlier)
    const source = nearest(samples, here, earlier)
    const most = (worthwhile * part.bits) / info.size
    if (source !== undefined && source.bits < most) {
      const read = (): Uint8Array => {
        const data = new Uint8Array(part.read())
        addElements(data, parts[source.index].read(), dataTypes[info.dtype].bits / 8, -1)
        return data
      }
      const found = besideEncoder.encode(info, read()) as { coded: Coded }
      const integers = found.coded.integers as Int32Array
      const form = chooseForm(integers, info.dims)
      const bits = estimateBits(differences(integers, form))
      if (bits < worthwhile * part.bits) {
        return { ...part, read, bits, coding: beside, coded: { parameters: [here - source.index], form } }
      }
    }
    earlier.push(here)
    return part
  })
}

/** The one whose sample differs in the fewest bits, and how many a difference takes, about. */
function nearest(
  samples: readonly Int32Array[],
  here: number,
  earlier: readonly number[],
): { readonly index: number; readonly bits: number } | undefined {
  let best: { index: number; bits: number } | undefined
  for (const index of earlier.slice(-mostCompared)) {
    let bits = 0
    for (const [i, v] of samples[here].entries()) bits += 33 - Math.clz32(Math.abs((v - samples[index][i]) | 0))
    if (!best || bits <= best.bits) best = { index, bits }
  }
  return best && { ...best, bits: best.bits / sampleSize }
}
