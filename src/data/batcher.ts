/**
 * Binding a data set to a model: which field feeds which input, in which shape, layout and element type. Everything
 * that can be wrong is checked once, here, before the first batch.
 */
import type { Value } from '../method.ts'
import type { Dim, ValueInfo } from '../model.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { axisOf, batchOf, isOpen } from './batch-axis.ts'
import type { Batcher, Dataset, Field, Preprocess } from './dataset.ts'
import { copierOf, imageWriter, scattered, sourceOf, storageOf } from './sample-writers.ts'
import { describeField } from './splits.ts'

export { requiredInputs } from './batch-axis.ts'

export interface BoundBatcher extends Batcher {
  /** Sentences for the user about what was assumed. */
  readonly notes: readonly string[]
}

/**
 * Binds fields to inputs by name (a single field feeds a single input, whatever their names).
 * Throws one sentence where a field is missing or does not fit. The batcher takes any data set with the same fields,
 * and refuses others.
 *
 * Samples lie on axis 0 of a field and are stacked on the axis of the input that counts them; the model's `outputs` help to
 * tell which that is.
 */
export function batcherFor(
  inputs: readonly ValueInfo[],
  dataset: Dataset,
  preprocess: Preprocess,
  outputs: readonly ValueInfo[] = [],
): BoundBatcher {
  const batch = batchOf(inputs, outputs)
  const names = Object.keys(dataset.fields)
  const notes: string[] = []
  const alone = inputs.length === 1 && names.length === 1
  const bound = inputs.map((input) => {
    const fieldName = alone ? names[0] : input.name
    const field = dataset.fields[fieldName]
    if (!field) {
      const has = Object.entries(dataset.fields).map(([name, { shape }]) => `"${name}" [${shape.join(',')}]`)
      throw new Error(
        `${dataset.id}: nothing feeds the model's input ${describeInput(input)}; the data has ${has.join(', ') || 'nothing'}, as shapes of one sample`,
      )
    }
    const binding = bindField({ input, axis: axisOf(input, batch), field, fieldName, id: dataset.id }, preprocess)
    return { input, fieldName, expected: describeField(field), ...binding }
  })
  const fixed = bound.filter((b) => b.batchSize !== undefined)
  const batchSize = fixed[0]?.batchSize
  const other = fixed.find((b) => b.batchSize !== batchSize)
  if (other) {
    throw new Error(
      `model: input "${fixed[0].input.name}" takes ${batchSize} samples per call and "${other.input.name}" ${other.batchSize}; expected one batch size`,
    )
  }
  const unused = names.filter((name) => !bound.some((b) => b.fieldName === name))
  if (unused.length > 0) notes.push(`the model has no input for ${list(unused)} of the data, so it is not used`)
  if (batchSize !== undefined) notes.push(`the model takes ${batchSize} sample${batchSize === 1 ? '' : 's'} per call`)
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

/** A field and the input that it feeds. */
interface Pair {
  readonly input: ValueInfo
  /** The axis of the input that counts samples, if any does. */
  readonly axis: number | undefined
  readonly field: Field
  readonly fieldName: string
  /** The data set's name, for errors. */
  readonly id: string
}

function bindField(pair: Pair, preprocess: Preprocess): Binding {
  const { input, field, fieldName, id } = pair
  const dtype = input.dtype ?? 'float32'
  const isImage = field.kind === 'image'
  const stored = sizeOf(field.shape)
  const [channels, height, width] = isImage && preprocess.size ? [field.shape[0], ...preprocess.size] : field.shape
  const planar = isImage ? [channels, height, width] : field.shape
  const sample = isImage && preprocess.layout === 'NHWC' ? [height, width, channels] : planar
  const size = sizeOf(sample)
  const { make, finish } = storageOf(dtype, field, `${id}: "${fieldName}"`, input.name)
  const copy = copierOf(dtype, `${id}: "${fieldName}"`, input.name)
  const write = isImage ? imageWriter(field.shape, preprocess, input, id) : copy
  if (field.constant) {
    if (!matches(input.shape, sample)) throw misfit(pair, sample)
    return {
      fill(from) {
        const data = make(size)
        copy(sourceOf(from), 0, size, data, 0)
        return { dtype, dims: sample, data: finish(data) }
      },
    }
  }
  const { dims, axis, batchSize } = batchShape(pair, sample)
  const fill = axis === 0 ? write : scattered(write, { outer: sizeOf(sample.slice(0, axis)), size, make })
  return {
    ...(batchSize === undefined ? {} : { batchSize }),
    fill(from, indices) {
      const count = indices.length
      const source = sourceOf(from)
      const data = make(count * size)
      for (let i = 0; i < count; i++) {
        const to = axis === 0 ? i * size : i
        fill(source, indices[i] * stored, stored, data, to, count)
      }
      return { dtype, dims: dims(count), data: finish(data) }
    },
  }
}

interface BatchShape {
  /** The shape of a batch of samples. */
  dims(count: number): number[]
  /** The axis that samples are stacked on. */
  readonly axis: number
  /** Where the model fixes it. */
  readonly batchSize?: number
}

/** How a batch of samples is shaped for an input. Throws where they do not fit. */
function batchShape(pair: Pair, sample: readonly number[]): BatchShape {
  const { input, field, axis: likely = 0 } = pair
  const { shape } = input
  if (!shape) return { dims: (n) => [n, ...sample], axis: 0 }
  const stacked = (axis: number, rest: readonly number[]): BatchShape => {
    const size = shape[axis]
    const dims = (n: number): number[] => [...rest.slice(0, axis), n, ...rest.slice(axis)]
    return { dims, axis, ...(isOpen(size) ? {} : { batchSize: size as number }) }
  }
  // One axis more than a sample: that of the samples, the likeliest that fits.
  const axes = [likely, 0, ...shape.flatMap((dim, axis) => (isOpen(dim) ? [axis] : []))]
  const fitting = axes.find((axis) => axis < shape.length && matches(shape.toSpliced(axis, 1), sample))
  if (fitting !== undefined) return stacked(fitting, sample)
  if (matches(shape, sample)) {
    // A batch of one each, as frameworks store states: [2,1,64] for [2,batch,64].
    if (sample[likely] === 1 && isOpen(shape[likely])) return stacked(likely, sample.toSpliced(likely, 1))
    // The sample has the input's whole shape (models without a batch axis).
    return { dims: () => [...sample], axis: 0, batchSize: 1 }
  }
  const rest = shape.slice(1)
  const size = sizeOf(sample)
  const plain = field.kind === 'values' || sample[0] === 1 || rest.length === 1
  const known = rest.filter((d): d is number => !isOpen(d))
  // Flattened ([N,784] for [1,28,28]) or unflattened ([N,1,28,28] for 784 columns), where the sizes leave no doubt.
  if (likely === 0 && plain && shape.length > 1 && known.length >= rest.length - 1 && size % sizeOf(known) === 0) {
    const missing = size / sizeOf(known)
    if (known.length < rest.length || missing === 1)
      return stacked(
        0,
        rest.map((d) => (isOpen(d) ? missing : (d as number))),
      )
  }
  throw misfit(pair, sample)
}

function matches(shape: readonly Dim[] | undefined, sample: readonly number[]): boolean {
  return (
    !shape || (shape.length === sample.length && sample.every((s, i) => typeof shape[i] !== 'number' || shape[i] === s))
  )
}

function describeInput({ name, shape }: ValueInfo): string {
  return `"${name}" [${shape?.map((d) => d ?? '?').join(',') ?? '?'}]`
}

function misfit({ input, field, fieldName, id }: Pair, sample: readonly number[]): Error {
  const [, planes, , last] = input.shape ?? []
  const channelsFit = [sample[0], sample[2]].some((c) => c <= 4 && (c === planes || c === last))
  const sized = field.kind === 'image' && input.shape?.length === 4 && channelsFit
  const oneMore = sample.length === 1 && input.shape?.length === 2 && input.shape[1] === sample[0] - 1
  const hint = sized
    ? ' (--resize brings images to its size)'
    : oneMore
      ? ' (there is one number too many: --label says which column holds the answers)'
      : ''
  const which = fieldName === input.name ? '' : ` "${fieldName}"`
  return new Error(
    `${id}: samples${which} of shape [${sample.join(',')}] do not fit the model's input ${describeInput(input)}${hint}`,
  )
}
