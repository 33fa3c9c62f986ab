/** Which coding a tensor gets: the cheapest, by estimates. */
import { besideEncoder } from './coding/beside.ts'
import { bitsAsBytes, bytesEncoder, isCounted, shortLength } from './coding/bytes.ts'
import { chooseForm } from './coding/choose-form.ts'
import type { Coded, Encoder, TensorInfo } from './coding/coding.ts'
import { estimateBits } from './coding/coding.ts'
import { constantEncoder } from './coding/constant.ts'
import { encoders } from './coding/encoders.ts'
import { differences, plainForm, type StreamForm } from './coding/stream-form.ts'
import { encodeIntegers } from './entropy/integer-coder.ts'
import { type CodedTensor, maxIntegers } from './tensor-coder.ts'

export interface ChosenCoding extends CodedTensor {
  readonly encoder: Encoder
  /** About as many bits as it takes. */
  readonly bits: number
}

/** The cheapest coding of a tensor; that it repeats another one is not looked for here. */
export function chooseCoding(info: TensorInfo, data: Uint8Array): ChosenCoding {
  const same = constantEncoder.encode(info, data)
  if (same && info.size > 64) return chosen(constantEncoder, info, same)
  let best: Candidate | undefined
  for (const encoder of encoders) {
    if (
      encoder === bytesEncoder ||
      encoder === besideEncoder ||
      (encoder.coding.hasIntegers && info.size > maxIntegers)
    )
      continue
    const found = encoder.encode(info, data)
    if (!found) continue
    const candidate = withForm(encoder, info, found)
    if (!best || candidate.bits < best.bits) best = candidate
  }
  const { tensor, bits } = best as Candidate
  const other = bytesEncoder.encode(info, data, bits)
  // The coder of integers may do better than the estimate, which knows nothing of neighbours, or worse, where a few values lie far
  // apart: it is asked.
  if (!other) return tensor
  const isSure = isCounted(other.coded.parameters[0])
  const isTried = isSure && tensor.coded.integers !== undefined && info.byteLength <= mostTried && other.bits < bits
  const asIntegers = isTried ? bitsAsIntegers(tensor, bits) : bits - savedByModel(tensor)
  if (other.bits >= asIntegers) return tensor
  const wins = isSure
    ? // How much repeats was counted all over, and text was coded.
      info.byteLength <= slowBytes || other.bits < worthwhile * asIntegers
    : asBytesWins(tensor, { bits, asBytes: other.bits }, data)
  return wins ? chosen(bytesEncoder, info, other) : tensor
}

/**
 * Whether bytes, which an estimate says are smaller, are. Of tensors of some size it knows samples and how much repeats, and in
 * tensors of few values much repeats that takes few bits anyhow, so those are coded to see.
 */
function asBytesWins(
  tensor: ChosenCoding,
  { bits, asBytes }: { readonly bits: number; readonly asBytes: number },
  data: Uint8Array,
): boolean {
  const { info, coded } = tensor
  // The estimate has coded it whole.
  if (info.byteLength <= shortLength) return true
  if (info.byteLength > mostTried || !coded.integers)
    return info.byteLength <= slowBytes || worthTheTime(tensor, bits, data)
  // Integers are coded first, which is quick: mostly that is all.
  const most = (info.byteLength <= slowBytes ? worthAMoment : worthwhile) * bitsAsIntegers(tensor, bits)
  return asBytes < most && 64 + bitsAsBytes(info, data) < most
}

/** Bits of a tensor that has integers, coded alone; `bits` is the estimate of all of it. */
function bitsAsIntegers({ coded: { integers, form = plainForm }, info }: ChosenCoding, bits: number): number {
  const rest = differences(integers as Int32Array, form)
  return 8 * encodeIntegers(highBits(rest, form), info.dims).length + besidesOf(rest, form, bits)
}

/** What the coder of integers gets of them. */
function highBits(values: Int32Array, { lowBits }: StreamForm): Int32Array {
  return lowBits > 0 ? values.map((v) => v >> lowBits) : values
}

/** Bits of what is not among those: low bits, signs and the like. `values`: all integers; `bits`: the estimate of the tensor. */
function besidesOf(values: Int32Array, { lowBits }: StreamForm, bits: number): number {
  return lowBits * values.length + Math.max(0, bits - estimateBits(values))
}

/** Bytes that take a quarter of a second to code as such. */
const slowBytes = 1 << 17
/** Tensors of no more bytes are coded as bytes before that is chosen: two seconds at most, where it then takes as long again. */
const mostTried = 1 << 20
/** Larger ones are looked at in so many places, of so many elements each. */
const places = 16
const placeSize = 1 << 12
/** Bytes take twenty times as long to code as integers, and to decode: they must be this much smaller. */
const worthwhile = 0.97
/** The same of tensors that take no longer than a quarter of a second. */
const worthAMoment = 0.995

/** Whether bytes save so much of a large tensor, measured by coding the same rows from all over it both ways. */
function worthTheTime({ coded, info }: ChosenCoding, bits: number, data: Uint8Array): boolean {
  const { integers, form } = coded
  const [rows = 1, ...inner] = info.dims.filter((d) => d > 1)
  if (!integers || !form || integers.length !== info.size) return true
  const rowSize = info.size / rows
  const rowBytes = info.byteLength / rows
  const perPlace = Math.ceil(placeSize / rowSize)
  if (!Number.isInteger(rowBytes) || rows < 2 * places * perPlace) return true
  const from = Array.from({ length: places }, (_, i) => Math.floor((i * rows) / places))
  const dims = [places * perPlace, ...inner]
  const taken = { ...info, dims, size: dims[0] * rowSize, byteLength: dims[0] * rowBytes }
  const values = new Int32Array(taken.size)
  const bytes = new Uint8Array(taken.byteLength)
  const rest = differences(integers, form)
  for (const [i, row] of from.entries()) {
    values.set(rest.subarray(row * rowSize, (row + perPlace) * rowSize), i * perPlace * rowSize)
    bytes.set(data.subarray(row * rowBytes, (row + perPlace) * rowBytes), i * perPlace * rowBytes)
  }
  const besides = (besidesOf(rest, form, bits) * taken.size) / info.size
  const asIntegers = 8 * encodeIntegers(highBits(values, form), dims).length + besides
  return bitsAsBytes(taken, bytes) < worthwhile * asIntegers
}

interface Candidate {
  readonly tensor: ChosenCoding
  readonly bits: number
}

function withForm(encoder: Encoder, info: TensorInfo, { coded, bits }: { coded: Coded; bits: number }): Candidate {
  const { integers } = coded
  if (!integers || integers.length === 0) return { tensor: chosen(encoder, info, { coded, bits }), bits }
  const form = chooseForm(integers, info.dims)
  const plain = form.predictor === 0 && form.offset === 0
  const saved = plain ? 0 : estimateBits(integers) - estimateBits(differences(integers, form))
  return { tensor: chosen(encoder, info, { coded: { ...coded, form }, bits: bits - saved }), bits: bits - saved }
}

/** Rows that the coder of integers is tried on hold so many integers. */
const sampleSize = 1 << 13

/** Bits that the coder of integers saves against the estimate, measured on its first rows. */
function savedByModel({ coded: { integers, form }, info }: ChosenCoding): number {
  if (!integers || !form || integers.length === 0) return 0
  const rowLength = integers.length / (info.dims[0] ?? 1)
  const rows = Math.max(1, Math.min(info.dims[0] ?? 1, Math.ceil(sampleSize / rowLength)))
  const sample = highBits(differences(integers.subarray(0, rows * rowLength), form), form)
  const estimate = estimateBits(sample)
  const real = 8 * encodeIntegers(sample, [rows, ...info.dims.slice(1)]).length
  return ((estimate - real) * integers.length) / sample.length
}

function chosen(encoder: Encoder, info: TensorInfo, { coded, bits }: { coded: Coded; bits: number }): ChosenCoding {
  return { encoder, coding: encoder.coding, info, coded, bits }
}
