/**
 * What a tensor coding is: a lossless map from a tensor's bytes to a few parameters, a table, one tensor of integers
 * and raw bits. Adding one is a file here and a line in codings.ts and in encoders.ts.
 */
import { type DataType, dataTypes } from '../../tensor/dtype.ts'
import type { StreamForm } from './stream-form.ts'

export interface TensorInfo {
  readonly dtype: DataType
  readonly dims: readonly number[]
  /** Elements. */
  readonly size: number
  /** Bytes of data; as ONNX packs `size` elements of `dtype`. */
  readonly byteLength: number
}

/** Bytes of an element; 1 where it is less. */
export function widthOf({ dtype }: TensorInfo): number {
  return Math.max(1, dataTypes[dtype].bits >> 3)
}

/** A tensor in coded form. */
export interface Coded {
  /** Whole numbers, as many as the coding's `parameterCount`. */
  readonly parameters: readonly number[]
  /** Bytes that go into the head: steps, a codebook, or the data itself. */
  readonly table?: Uint8Array
  /** As many as `info.size`, for codings that have integers. */
  readonly integers?: Int32Array
  /** How these are in the stream, if not as they are. */
  readonly form?: StreamForm
}

/** A tensor's data. */
export interface TensorData {
  readonly info: TensorInfo
  readonly data: Uint8Array
}

/** What the group holds of the tensor that is so many before this one; undefined where there is none. */
export type Earlier = (distance: number) => Uint8Array | undefined

/** Raw bits of a group, in order. */
export interface BitWriter {
  write(value: number, count: number): void
}
export interface BitReader {
  /** `count` (0..32) bits as an unsigned number. Throws at the end. */
  read(count: number): number
  /** `count` bytes. Throws at the end, before it makes room for them. */
  bytes(count: number): Uint8Array
}

/** What a decoder needs of a coding, which has what it says it has. */
export interface Coding {
  readonly name: string
  /** 0 unless said. */
  readonly parameterCount?: number
  readonly hasTable?: true
  readonly hasIntegers?: true
  /** Whether there may be raw bits besides the integers' low bits. */
  readonly hasRaw?: true
  /** The tensor's bytes again. Throws a sentence where the parameters make no sense. */
  readonly decode: (info: TensorInfo, coded: Coded, raw: BitReader, earlier?: Earlier) => Uint8Array
}

/** What an encoder needs besides; apart, so that a decoder alone carries none of it. */
export interface Encoder {
  readonly coding: Coding
  /**
   * The coded form and its estimated size, or undefined where the coding does not fit the tensor. What takes more than `most` bits is
   * of no use to the caller.
   */
  readonly encode: (
    info: TensorInfo,
    data: Uint8Array,
    most?: number,
  ) => { readonly coded: Coded; readonly bits: number } | undefined
  /** Raw bits, if any, of a tensor that `encode` coded. */
  readonly writeRaw?: (tensor: TensorData, coded: Coded, out: BitWriter, earlier?: Earlier) => void
}

/** Bits that the integer coder takes for these, roughly: the zero-order entropy of small values, Elias-gamma-like classes for large. */
export function estimateBits(values: Int32Array): number {
  const small = 24
  const counts = new Float64Array(2 * small + 1 + 64)
  let extra = 0
  for (const v of values) {
    if (v >= -small && v <= small) counts[v + small]++
    else {
      const length = 31 - Math.clz32(Math.abs(v) | 0)
      counts[2 * small + 1 + length]++
      extra += length + 1
    }
  }
  let bits = extra
  for (const c of counts) if (c > 0) bits += c * Math.log2(values.length / c)
  return bits + 16
}

export function damaged(what: string): Error {
  return new Error(`cop: ${what}; the file is damaged`)
}
