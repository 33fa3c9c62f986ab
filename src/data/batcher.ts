/**
 * Binding a data set to a model: which field feeds which input, in which shape, layout and element type. Everything
 * that can be wrong is checked once, here, before the first batch.
 */
import { UnsupportedError } from '../errors.ts'
import type { Value } from '../method.ts'
import type { Dim, Model, ValueInfo } from '../model.ts'
import { type DataType, sizeOf } from '../tensor/dtype.ts'
import type { Batcher, Dataset, Field, Preprocess } from './dataset.ts'
import { planeResizer } from './resize.ts'
import { describeField } from './splits.ts'

export interface BoundBatcher extends Batcher {
  /** The only batch size that the model takes, where it takes one. */
  readonly batchSize?: number
  /** Sentences for the user about what was assumed. */
  readonly notes: readonly string[]
}

/** The inputs that a caller must give: those that no initialiser fills. */
export function requiredInputs(model: Model): ValueInfo[] {
  return model.graph.inputs.filter((input) => !model.graph.initializers.has(input.name))
}

/**
 * Binds fields to inputs by name (a single field feeds a single input, whatever their names).
 * Throws one sentence where a field is missing or does not fit. The batcher takes any data set with the same fields,
 * and refuses others.
 */
export function batcherFor(inputs: readonly ValueInfo[], dataset: Dataset, preprocess: Preprocess): BoundBatcher {
  const names = Object.keys(dataset.fields)
  const notes: string[] = []
  const alone = inputs.length === 1 && names.length === 1
  const bound = inputs.map((input) => {
    const fieldName = alone ? names[0] : input.name
    const field = dataset.fields[fieldName]
    if (!field) {
      throw new Error(`${dataset.id}: nothing feeds the model's input "${input.name}"; the data has ${list(names)}`)
    }
    return { input, fieldName, expected: describeField(field), ...bindField(input, field, preprocess, dataset.id) }
  })
  const fixed = bound.filter((b) => b.batchSize !== undefined)
  const batchSize = fixed[0]?.batchSize
  const other = fixed.find((b) => b.batchSize !== batchSize)
  if (other) {
    throw new Error(
      `model: input "${fixed[0].input.name}" takes ${batchSize} samples a call and "${other.input.name}" ${other.batchSize}; expected one batch size`,
    )
  }
  const unused = names.filter((name) => !bound.some((b) => b.fieldName === name))
  if (unused.length > 0) notes.push(`the model has no input for ${list(unused)} of the data, so it is not used`)
  if (batchSize !== undefined) notes.push(`the model takes ${batchSize} sample${batchSize === 1 ? '' : 's'} a call`)
  const batcher: Batcher = (from, indices) => {
    if (batchSize !== undefined && indices.length !== batchSize) {
      throw new Error(`batch: ${indices.length} samples; expected ${batchSize}, which is all that the model takes`)
    }
    const feeds: Record<string, Value> = {}
    for (const { input, fieldName, expected, fill } of bound) {
      const field = from.fields[fieldName]
      // A field of another shape would be read at wrong places, without a word.
      const found = field ? describeField(field) : 'missing'
      if (found !== expected)
        throw new Error(`${from.id}: "${fieldName}" is ${found}; expected ${expected}, as in ${dataset.id}`)
      feeds[input.name] = fill(field, indices)
    }
    return feeds
  }
  return Object.assign(batcher, { notes, ...(batchSize === undefined ? {} : { batchSize }) })
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'nothing' : names.map((n) => `"${n}"`).join(', ')
}

interface Binding {
  readonly batchSize?: number
  fill(field: Field, indices: ArrayLike<number>): Value
}

function bindField(input: ValueInfo, field: Field, preprocess: Preprocess, id: string): Binding {
  const dtype = input.dtype ?? 'float32'
  const isImage = field.kind === 'image'
  const stored = sizeOf(field.shape)
  const [channels, height, width] = isImage && preprocess.size ? [field.shape[0], ...preprocess.size] : field.shape
  const planar = isImage ? [channels, height, width] : field.shape
  const sample = isImage && preprocess.layout === 'NHWC' ? [height, width, channels] : planar
  const size = sizeOf(sample)
  const make = makerOf(dtype, `${id}: input "${input.name}"`)
  const write = isImage ? imageWriter(field.shape, preprocess, input, id) : copySample
  if (field.constant) {
    if (!matches(input.shape, sample)) throw misfit(input, sample, field, id)
    return {
      fill(from) {
        const data = make(size)
        copySample(from.data, 0, size, data, 0)
        return { dtype, dims: sample, data }
      },
    }
  }
  const { dims, batchSize } = batchShape(input, sample, field, id)
  return {
    ...(batchSize === undefined ? {} : { batchSize }),
    fill(from, indices) {
      const data = make(indices.length * size)
      for (let i = 0; i < indices.length; i++) write(from.data, indices[i] * stored, stored, data, i * size)
      return { dtype, dims: dims(indices.length), data }
    },
  }
}

type Array1d = Value['data']
/** Writes the sample that begins at `from` to where it belongs in the batch. */
type SampleWriter = (source: Field['data'], from: number, size: number, target: Array1d, to: number) => void

const copySample: SampleWriter = (source, from, size, target, to) => {
  if (target instanceof BigInt64Array || target instanceof BigUint64Array) {
    for (let i = 0; i < size; i++) target[to + i] = BigInt(source[from + i])
  } else target.set(source.subarray(from, from + size), to)
}

/** How a batch of samples is shaped for an input, and the batch size where the model fixes it. */
function batchShape(
  input: ValueInfo,
  sample: readonly number[],
  field: Field,
  id: string,
): { dims: (count: number) => number[]; batchSize?: number } {
  const { shape } = input
  if (!shape) return { dims: (n) => [n, ...sample] }
  const rest = shape.slice(1)
  const fixed = typeof shape[0] === 'number' && shape[0] > 0 ? { batchSize: shape[0] } : {}
  if (shape.length > 0 && matches(rest, sample)) return { dims: (n) => [n, ...sample], ...fixed }
  // The sample has the input's whole shape, batch axis included (recurrent states, models without a batch axis).
  if (matches(shape, sample)) return { dims: () => [...sample], batchSize: 1 }
  const size = sizeOf(sample)
  const plain = field.kind === 'values' || sample[0] === 1 || rest.length === 1
  const known = rest.filter((d): d is number => typeof d === 'number' && d > 0)
  // Flattened ([N,784] for [1,28,28]) or unflattened ([N,1,28,28] for 784 columns), where the sizes leave no doubt.
  if (plain && shape.length > 1 && known.length >= rest.length - 1 && size % sizeOf(known) === 0) {
    const missing = size / sizeOf(known)
    if (known.length < rest.length || missing === 1) {
      const dims = rest.map((d) => (typeof d === 'number' && d > 0 ? d : missing))
      return { dims: (n) => [n, ...dims], ...fixed }
    }
  }
  throw misfit(input, sample, field, id)
}

function matches(shape: readonly Dim[] | undefined, sample: readonly number[]): boolean {
  return (
    !shape || (shape.length === sample.length && sample.every((s, i) => typeof shape[i] !== 'number' || shape[i] === s))
  )
}

function misfit(input: ValueInfo, sample: readonly number[], { kind }: Field, id: string): Error {
  const want = input.shape?.map((d) => d ?? '?').join(',') ?? '?'
  const [, planes, , last] = input.shape ?? []
  const channelsFit = [sample[0], sample[2]].some((c) => c <= 4 && (c === planes || c === last))
  const sized = kind === 'image' && input.shape?.length === 4 && channelsFit
  const hint = sized ? ' (--resize brings images to its size)' : ''
  return new Error(
    `${id}: samples of shape [${sample.join(',')}] do not fit the model's input "${input.name}" [${want}]${hint}`,
  )
}

/** Pixels to a model's numbers, in the wanted size and layout. */
function imageWriter(
  [channels, ...stored]: readonly number[],
  preprocess: Preprocess,
  input: ValueInfo,
  id: string,
): SampleWriter {
  const { range, mean = [0], std = [1], layout } = preprocess
  const [low, high] = range
  const [height, width] = preprocess.size ?? stored
  const whole = (input.dtype ?? 'float32') !== 'float32' && input.dtype !== 'float64'
  const maps = Array.from({ length: channels }, (_, c) => {
    const [centre, scale] = [mean[mean.length === 1 ? 0 : c], std[std.length === 1 ? 0 : c]]
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
  const startOf = (to: number, c: number): number => to + (layout === 'NHWC' ? c : c * area)
  if (height !== stored[0] || width !== stored[1]) {
    const resize = planeResizer([stored[0], stored[1]], [height, width])
    return (source, from, _size, target, to) => {
      for (let c = 0; c < channels; c++) {
        const plane = resize(source, from + c * stored[0] * stored[1])
        const start = startOf(to, c)
        const map = whole ? Math.round : maps[c]
        for (let i = 0; i < area; i++) target[start + i * step] = map(plane[i])
      }
    }
  }
  return (source, from, _size, target, to) => {
    for (let c = 0; c < channels; c++) {
      const table = tables[c]
      const start = startOf(to, c)
      const plane = from + c * area
      for (let i = 0; i < area; i++) target[start + i * step] = table[source[plane + i]]
    }
  }
}

/** Makes an empty array of an input's element type. */
function makerOf(dtype: DataType, subject: string): (length: number) => Array1d {
  const type = arrayTypes[dtype]
  if (!type) throw new UnsupportedError(`${subject} takes ${dtype}, which data cannot be fed as`)
  return (length) => new type(length)
}

const arrayTypes: Partial<Record<DataType, new (length: number) => Array1d>> = {
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
