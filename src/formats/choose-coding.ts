/** Which coding a tensor gets: the cheapest, by estimates. */
import { crc32 } from './checksum.ts'
import { bytesEncoder } from './coding/bytes.ts'
import { chooseForm } from './coding/choose-form.ts'
import type { Coded, Encoder, TensorInfo } from './coding/coding.ts'
import { estimateBits } from './coding/coding.ts'
import { constantEncoder } from './coding/constant.ts'
import { copyEncoder } from './coding/copy.ts'
import { encoders } from './coding/encoders.ts'
import { differences } from './coding/stream-form.ts'
import { encodeIntegers } from './entropy/integer-coder.ts'
import { orderOf, unorderedSum } from './permuted-copies.ts'
import { type CodedTensor, maxIntegers } from './tensor-coder.ts'

export interface ChosenCoding extends CodedTensor {
  readonly encoder: Encoder
}

interface Seen {
  readonly index: number
  readonly info: TensorInfo
  readonly data: Uint8Array
}

/** A chooser that finds repeated tensors, too: call it for the tensors in order. */
export function chooser(): (info: TensorInfo, data: Uint8Array) => ChosenCoding {
  const seen = new Map<string, Seen[]>()
  const turned = new Map<string, Seen[]>()
  let index = 0
  return (info, data) => {
    const here = index++
    if (info.byteLength < 16) return chooseCoding(info, data)
    const key = `${info.dtype} ${info.byteLength} ${crc32(data)}`
    const earlier = seen.get(key)?.find((e) => data.every((b, i) => b === e.data[i]))
    if (earlier) return chosen(copyEncoder, info, { parameters: [here - earlier.index, 0] })
    const self = { index: here, info, data }
    seen.set(key, [...(seen.get(key) ?? []), self])
    const sum = unorderedSum(info, data)
    if (sum !== undefined) {
      const place = `${info.dtype} ${info.byteLength} ${sum}`
      for (const source of turned.get(place) ?? []) {
        const order = orderOf(source, self)
        if (order !== undefined) return chosen(copyEncoder, info, { parameters: [here - source.index, order] })
      }
      turned.set(place, [...(turned.get(place) ?? []), self])
    }
    return chooseCoding(info, data)
  }
}

/** The cheapest coding of a tensor. */
export function chooseCoding(info: TensorInfo, data: Uint8Array): ChosenCoding {
  const same = constantEncoder.encode(info, data)
  if (same && info.size > 64) return chosen(constantEncoder, info, same.coded)
  let best: Candidate | undefined
  for (const encoder of encoders) {
    if (encoder === bytesEncoder || (encoder.coding.hasIntegers && info.size > maxIntegers)) continue
    const found = encoder.encode(info, data)
    if (!found) continue
    const candidate = withForm(encoder, info, found)
    if (!best || candidate.bits < best.bits) best = candidate
  }
  const { tensor, bits } = best as Candidate
  const other = bytesEncoder.encode(info, data)
  // The coder of integers does better than the estimate, which knows nothing of neighbours: where it is close, it is asked.
  const wins = other && other.bits < bits && other.bits < bits - savedByModel(tensor)
  return wins ? chosen(bytesEncoder, info, other.coded) : tensor
}

interface Candidate {
  readonly tensor: ChosenCoding
  readonly bits: number
}

function withForm(encoder: Encoder, info: TensorInfo, { coded, bits }: { coded: Coded; bits: number }): Candidate {
  const { integers } = coded
  if (!integers || integers.length === 0) return { tensor: chosen(encoder, info, coded), bits }
  const form = chooseForm(integers, info.dims)
  const plain = form.predictor === 0 && form.offset === 0
  const saved = plain ? 0 : estimateBits(integers) - estimateBits(differences(integers, form))
  return { tensor: chosen(encoder, info, { ...coded, form }), bits: bits - saved }
}

/** Rows that the coder of integers is tried on hold so many integers. */
const sampleSize = 1 << 13

/** Bits that the coder of integers saves against the estimate, told by its first rows. */
function savedByModel({ coded: { integers, form }, info }: ChosenCoding): number {
  if (!integers || !form || integers.length === 0) return 0
  const rowLength = integers.length / (info.dims[0] ?? 1)
  const rows = Math.max(1, Math.min(info.dims[0] ?? 1, Math.ceil(sampleSize / rowLength)))
  const sample = differences(integers.subarray(0, rows * rowLength), form)
  if (form.lowBits > 0) for (let i = 0; i < sample.length; i++) sample[i] >>= form.lowBits
  const estimate = estimateBits(sample)
  const real = 8 * encodeIntegers(sample, [rows, ...info.dims.slice(1)]).length
  return ((estimate - real) * integers.length) / sample.length
}

function chosen(encoder: Encoder, info: TensorInfo, coded: Coded): ChosenCoding {
  return { encoder, coding: encoder.coding, info, coded }
}
