/** Writing samples into a batch: copied, scattered, or as pixels made into numbers; and the arrays that inputs take. */
import { UnsupportedError } from '../errors.ts'
import type { Value } from '../method.ts'
import type { ValueInfo } from '../model.ts'
import { type DataType, floatToHalf, isFloat } from '../tensor/dtype.ts'
import { isStrings } from './batch-axis.ts'
import type { Field, Preprocess } from './dataset.ts'
import { planeResizer } from './resize.ts'

type Numbers = Exclude<Value['data'], readonly string[]>
type Elements = Numbers | string[]
/** A field's numbers or text. */
type Source = Field['data'] | readonly string[]
/** Writes the sample that begins at `from` to where it belongs in the batch of `count`. */
type SampleWriter = (source: Source, from: number, size: number, target: Elements, to: number, count?: number) => void

/** Writes sample `to` of a batch whose samples lie behind `outer` others: [layers, batch, hidden]. */
export function scattered(
  write: SampleWriter,
  { outer, size, make }: { readonly outer: number; readonly size: number; readonly make: (length: number) => Elements },
): SampleWriter {
  const whole = make(size)
  const inner = size / outer
  return (source, from, stored, target, to, count = 1) => {
    write(source, from, stored, whole, 0)
    for (let o = 0; o < outer; o++) {
      const at = (o * count + to) * inner
      for (let i = 0; i < inner; i++) (target as Float32Array)[at + i] = (whole as Float32Array)[o * inner + i]
    }
  }
}

/** Copies values; throws where a whole-number type cannot hold one. */
export function copierOf(dtype: DataType, subject: string, input: string): SampleWriter {
  const refuse = (value: unknown): Error =>
    new Error(`${subject} holds ${value}; the model's input "${input}" takes ${dtype}, which cannot be that`)
  return (source, from, size, target, to) => {
    if (isStrings(source)) {
      for (let i = 0; i < size; i++) (target as string[])[to + i] = source[from + i]
    } else if (target instanceof BigInt64Array || target instanceof BigUint64Array) {
      const least = target instanceof BigUint64Array ? 0 : Number.NEGATIVE_INFINITY
      for (let i = 0; i < size; i++) {
        const value = source[from + i]
        if (!Number.isInteger(value) || value < least) throw refuse(value)
        target[to + i] = BigInt(value)
      }
    } else {
      const numbers = target as Float32Array
      numbers.set(source.subarray(from, from + size), to)
      if (target instanceof Float32Array || target instanceof Float64Array) return
      for (let i = 0; i < size; i++) if (numbers[to + i] !== source[from + i]) throw refuse(source[from + i])
    }
  }
}

/** What a field holds. */
export function sourceOf({ data, strings }: Field): Source {
  return strings ?? data
}

/** Pixels to a model's numbers, in the wanted size and layout. */
export function imageWriter(
  [channels, ...stored]: readonly number[],
  preprocess: Preprocess,
  input: ValueInfo,
  id: string,
): SampleWriter {
  const { range, mean = [0], std = [1], layout } = preprocess
  // Where a stored channel, which are RGB, goes.
  const placeOf = (c: number): number => (preprocess.channels === 'BGR' && channels === 3 ? 2 - c : c)
  const [low, high] = range
  const [height, width] = preprocess.size ?? stored
  const whole = !isFloat(input.dtype ?? 'float32')
  const maps = Array.from({ length: channels }, (_, c) => {
    const own = placeOf(c)
    const [centre, scale] = [mean[mean.length === 1 ? 0 : own], std[std.length === 1 ? 0 : own]]
    return (x: number): number => ((x * (high - low)) / 255 + low - centre) / scale
  })
  const tables = maps.map((map) => Float32Array.from({ length: 256 }, (_, x) => map(x)))
  if (whole && !tables.every((t) => t.every((v, x) => v === x))) {
    throw new Error(
      `${id}: the model's input "${input.name}" takes ${input.dtype}; expected --input-range 0..255 without mean and std`,
    )
  }
  const area = height * width
  const step = layout === 'NHWC' ? channels : 1
  const startOf = (to: number, c: number): number => to + (layout === 'NHWC' ? placeOf(c) : placeOf(c) * area)
  if (height !== stored[0] || width !== stored[1]) {
    const resize = planeResizer([stored[0], stored[1]], [height, width])
    return (source, from, _size, target, to) => {
      for (let c = 0; c < channels; c++) {
        const plane = resize(source as Uint8Array, from + c * stored[0] * stored[1])
        const start = startOf(to, c)
        const map = whole ? Math.round : maps[c]
        for (let i = 0; i < area; i++) (target as Float32Array)[start + i * step] = map(plane[i])
      }
    }
  }
  return (source, from, _size, target, to) => {
    for (let c = 0; c < channels; c++) {
      const table = tables[c]
      const start = startOf(to, c)
      const plane = from + c * area
      for (let i = 0; i < area; i++)
        (target as Float32Array)[start + i * step] = table[(source as Uint8Array)[plane + i]]
    }
  }
}

interface Storage {
  /** An empty array to write samples into. */
  make(length: number): Elements
  /** That array as the model takes it. */
  finish(data: Elements): Value['data']
}

/** How samples are stored for an input's element type. Throws where the field's elements are of another kind. */
export function storageOf(dtype: DataType, field: Field, subject: string, input: string): Storage {
  const text = field.strings !== undefined
  if (text !== (dtype === 'string')) {
    const holds = text ? 'strings' : 'numbers'
    throw new Error(`${subject} holds ${holds}; the model's input "${input}" takes ${text ? dtype : 'strings'}`)
  }
  if (text) return { make: (length) => new Array<string>(length).fill(''), finish: (data) => data }
  if (dtype === 'float16')
    return {
      make: (length) => new Float32Array(length),
      finish: (data) => Uint16Array.from(data as Float32Array, floatToHalf),
    }
  const type = arrayTypes[dtype]
  if (!type)
    throw new UnsupportedError(
      `${subject}: the model's input "${input}" takes ${dtype}, which ONNX Runtime cannot be fed`,
    )
  return { make: (length) => new type(length), finish: (data) => data }
}

const arrayTypes: Partial<Record<DataType, new (length: number) => Numbers>> = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
}
