/**
 * Seeded inputs for any model. What the model's input types leave open (symbolic and unknown sizes, integer settings
 * such as a sampling rate) is guessed from the graph where it tells, then tried in ONNX Runtime, likeliest first.
 */
import { axisOf, type BatchSize, batchOf, requiredInputs } from '../data/batch-axis.ts'
import type { InputGroup } from '../data/handle.ts'
import { UnsupportedError } from '../errors.ts'
import type { Feeds, Value } from '../method.ts'
import type { Dim, Graph, Model, ValueInfo } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import type { Session } from '../runtime/session.ts'
import { floatToHalf, sizeOf } from '../tensor/dtype.ts'
import { type Random, random } from '../tensor/random.ts'
import { candidateShapes, isLeftOpen, type Shapes, shortLength, shortShapes } from './candidate-shapes.ts'
import { integerRange, type Range, type ShapeOf, wholeData } from './integer-range.ts'
import { drawSample, isWide, layoutOf, positiveRanges, rangesOf } from './random-signals.ts'

export interface RandomInputOptions {
  /** Samples a call, where the model leaves that open; default 1. */
  readonly batchSize?: number
}

export interface RandomInputs {
  /** Whether the inputs are `batchSize` samples; if not, the model's shapes are fixed. */
  readonly batchSizeTaken: boolean
  readonly shapes: Readonly<Record<string, readonly number[]>>
  /** Samples per call. */
  readonly samples: number
  /** Inputs drawn by the seed: floats standard normal, integers within what the graph allows. */
  make(seed: number): Feeds
  /** The ranges that people feed such inputs in (random-signals.ts). */
  readonly ranges: readonly string[]
  /** Signals in each range, and but for images flat noise in each. */
  readonly groups: readonly InputGroup[]
  /** The same in ranges above 0, for models that are not finite in the others. */
  readonly positive: { readonly ranges: readonly string[]; readonly groups: readonly InputGroup[] }
  /** Pictures, sounds or vectors in one of the ranges, or flat noise; `call` 0, 1, ... gives each kind in turn. */
  draw(of: InputGroup, call: number, seed: number): Feeds
}

/** There are no inputs that the model runs with and gives values for, or none were found. */
export class NoInputsError extends UnsupportedError {
  override name = 'NoInputsError'
}

/** Finds shapes that the model runs with. Throws a NoInputsError, with the runtime's reason, where none is found. */
export async function findRandomInputs(
  model: Model,
  session: Session,
  options: RandomInputOptions = {},
): Promise<RandomInputs> {
  const { batchSize = 1 } = options
  const inputs = requiredInputs(model)
  const batch = batchOf(inputs, model.graph.outputs)
  const words = wordsOf(model.graph)
  const whole = wholeData(model.graph, inputs)
  const knownOf = (shapes: Shapes): Known[] => {
    const shapeOf = shapesWith(model, Object.fromEntries(inputs.map(({ name }, i) => [name, shapes[i]])))
    return inputs.map((input) => ({
      range: integerRange(model.graph, input, shapeOf),
      words,
      isData: /^float/.test(input.dtype ?? 'float32') || whole.has(input.name),
    }))
  }
  let failure: unknown
  const runs = async (found: Found, feeds = drawAll(found, 0)): Promise<boolean> => {
    try {
      await session.run(feeds)
      return true
    } catch (cause) {
      failure = cause
      return false
    }
  }
  // Times and counts may end as places in a table, beyond which a model does not run: such are drawn as the graph allows.
  const inRanges = async (found: Found, short: Found | undefined): Promise<Ranged> => {
    const ranged = rangedInputs(found, short)
    if (!inputs.some(({ name, dtype = 'float32' }) => whole.has(name) && isWide(dtype))) return ranged
    for (const group of ranged.groups)
      if (!(await runs(found, ranged.draw(group, 0, 0))))
        return rangedInputs(narrowOnly(found), short && narrowOnly(short))
    return ranged
  }
  const batchSizeTaken = batchSize === 1 || inputs.every((input) => takesBatches(input, batch))
  const samples = batchSizeTaken ? batchSize : 1
  for (const shapes of candidateShapes(inputs, batch, batchSize)) {
    const found = { inputs, shapes, known: knownOf(shapes), batch, samples }
    if (!(await runs(found))) continue
    const shapesOfShort = shortShapes(found, batchSize)
    const short = shapesOfShort && { ...found, shapes: shapesOfShort, known: knownOf(shapesOfShort) }
    return {
      batchSizeTaken,
      samples,
      ...(await inRanges(found, short && (await runs(short)) ? short : undefined)),
      shapes: Object.fromEntries(inputs.map((input, i) => [input.name, shapes[i]])),
      make: (seed) => drawAll(found, seed),
    }
  }
  const reason = failure instanceof Error ? failure.message : String(failure)
  const fixed = inputs.every(({ shape }) => shape?.every((dim) => !isLeftOpen(dim)))
  const what = fixed
    ? `the model does not run with inputs of its own shapes, ${shapesInWords(inputs.map(({ name, shape = [] }) => [name, shape]))}`
    : 'no shape was found that the model runs with; expected --input-shape NAME=SIZES, or data'
  throw new NoInputsError(`random inputs: ${what} (${reason})`, { cause: failure })
}

/** `"x" [1,5], "y" [2]`. */
export function shapesInWords(shapes: readonly (readonly [name: string, shape: readonly Dim[]])[]): string {
  return shapes.map(([name, shape]) => `"${name}" [${shape}]`).join(', ')
}

/** The shapes that values have with inputs of such shapes, inferred where one is asked for. */
function shapesWith(model: Model, inputShapes: Readonly<Record<string, readonly number[]>>): ShapeOf {
  let inferred: ReturnType<typeof inferShapes> | undefined
  return (graph, name) => {
    inferred ??= inferShapes(model, { inputShapes })
    return (inferred.nested.get(graph)?.get(name) ?? inferred.values.get(name))?.shape
  }
}

interface Found {
  readonly inputs: readonly ValueInfo[]
  readonly shapes: Shapes
  readonly known: readonly Known[]
  readonly batch: BatchSize
  readonly samples: number
}

/** Inputs drawn by a seed: floats standard normal. */
function drawAll({ inputs, shapes, known }: Pick<Found, 'inputs' | 'shapes' | 'known'>, seed: number): Feeds {
  const rng = random(seed)
  return Object.fromEntries(inputs.map((input, i) => [input.name, draw(input, shapes[i], known[i], rng)]))
}

function takesBatches(input: ValueInfo, batch: BatchSize): boolean {
  const axis = axisOf(input, batch)
  return axis === undefined || isLeftOpen(input.shape?.[axis])
}

/** Attributes of LabelEncoder, OneHotEncoder, TfIdfVectorizer and DictVectorizer that list the texts they know. */
const vocabularies = ['keys_strings', 'cats_strings', 'pool_strings', 'string_vocabulary']

/** The texts that the graph knows. */
function wordsOf({ nodes }: Graph): string[] {
  const known = nodes.flatMap(({ attributes }) =>
    vocabularies.flatMap((name) => (attributes[name]?.type === 'strings' ? attributes[name].value : [])),
  )
  const words = known.map((text) => (typeof text === 'string' ? text : new TextDecoder().decode(text)))
  return words.length > 0 ? [...new Set(words)] : ['a', 'b', 'c']
}

/** What the graph tells of an input's values. */
interface Known {
  readonly range: Range
  readonly words: readonly string[]
  /** Floats, and whole numbers that are data: drawn as samples of their form where there are many of them. */
  readonly isData: boolean
}

/** Whole numbers of many bits are no data. */
function narrowOnly(found: Found): Found {
  const isNarrow = (i: number): boolean => !isWide(found.inputs[i].dtype ?? 'float32')
  return { ...found, known: found.known.map((of, i) => ({ ...of, isData: of.isData && isNarrow(i) })) }
}

function draw(input: ValueInfo, dims: readonly number[], { range, words }: Known, rng: Random): Value {
  if (!input.dtype && input.opaqueType)
    throw new NoInputsError(`random inputs: input "${input.name}" is no tensor, and only tensors can be drawn`)
  const dtype = input.dtype ?? 'float32'
  const size = sizeOf(dims)
  if (range === 'mask') return mask(dtype, dims, rng)
  const [from, to] = range
  const whole = (): number => from + rng.below(to - from + 1)
  switch (dtype) {
    case 'float32':
      return { dtype, dims, data: Float32Array.from({ length: size }, () => rng.normal()) }
    case 'float64':
      return { dtype, dims, data: Float64Array.from({ length: size }, () => rng.normal()) }
    case 'float16':
      return { dtype, dims, data: Uint16Array.from({ length: size }, () => floatToHalf(rng.normal())) }
    case 'int64':
      return { dtype, dims, data: BigInt64Array.from({ length: size }, () => BigInt(whole())) }
    case 'int32':
      return { dtype, dims, data: Int32Array.from({ length: size }, whole) }
    case 'uint8':
      return { dtype, dims, data: Uint8Array.from({ length: size }, () => rng.below(256)) }
    case 'int8':
      return { dtype, dims, data: Int8Array.from({ length: size }, () => rng.below(256) - 128) }
    case 'int16':
      return { dtype, dims, data: Int16Array.from({ length: size }, whole) }
    case 'uint16':
      return { dtype, dims, data: Uint16Array.from({ length: size }, whole) }
    case 'uint32':
      return { dtype, dims, data: Uint32Array.from({ length: size }, whole) }
    case 'uint64':
      return { dtype, dims, data: BigUint64Array.from({ length: size }, () => BigInt(whole())) }
    case 'bool':
      return { dtype, dims, data: Uint8Array.from({ length: size }, () => rng.below(2)) }
    case 'string':
      return { dtype, dims, data: Array.from({ length: size }, () => words[rng.below(words.length)]) }
    default:
      throw new NoInputsError(`random inputs: input "${input.name}" takes ${dtype}, which cannot be drawn`)
  }
}

/** Rows that end in padding: 1 for at least the first half of each, 0 behind. A row of zeros alone would leave nothing to attend to. */
function mask(dtype: string, dims: readonly number[], rng: Random): Value {
  const length = dims[dims.length - 1] ?? 1
  const bits = new Uint8Array(sizeOf(dims))
  for (let from = 0; from < bits.length; from += length)
    bits.fill(1, from, from + Math.ceil(length / 2) + rng.below(Math.floor(length / 2) + 1))
  return dtype === 'bool' ? { dtype, dims, data: bits } : toValue(dtype, dims, Float32Array.from(bits))
}

/** Inputs of large enough size are data; smaller ones beside them are states and settings, which stay near 0. */
const dataShare = 0.25

type Ranged = Pick<RandomInputs, 'ranges' | 'groups' | 'positive' | 'draw'>

/** Drawing in ranges: each input that holds data as samples of its form, the others as `draw` does. */
function rangedInputs({ inputs, shapes, known, batch, samples }: Found, short: Found | undefined): Ranged {
  const largest = Math.max(...shapes.map(sizeOf))
  const planOf = (found: Pick<Found, 'shapes' | 'known'>) =>
    inputs.map((input, i) => {
      const axis = axisOf(input, batch)
      const dims = found.shapes[i]
      const perSample = axis === undefined ? dims : dims.filter((_, a) => a !== axis)
      const isData = found.known[i].isData && sizeOf(shapes[i]) >= dataShare * largest
      const { dtype = 'float32' } = input
      return { input, dtype, dims, axis, layout: layoutOf(perSample), isData, known: found.known[i] }
    })
  const plans = planOf({ shapes, known })
  const shortPlans = short && planOf(short)
  const data = plans.filter((p) => p.isData).sort((a, b) => sizeOf(b.dims) - sizeOf(a.dims))
  const [main] = data
  const isImage = main?.layout.isImage ?? false
  const isVector = main?.layout.form === 'vector'
  // Whole numbers beside the largest input are drawn in all of their ranges too.
  const drawnIn = data.filter(({ dtype }, i) => i === 0 || isWide(dtype))
  const ranges = main
    ? [...new Set(drawnIn.flatMap(({ layout, dtype }) => rangesOf(layout.form, dtype)))]
    : ['as the graph allows']
  const groupsOf = (of: readonly string[]): InputGroup[] =>
    of.flatMap((range) =>
      [{}, ...(short ? [{ length: shortLength }] : [])].flatMap((length) =>
        (isImage ? [false] : [false, true]).map((isNoise) => ({ range, isNoise, isImage, isVector, ...length })),
      ),
    )
  return {
    ranges,
    groups: groupsOf(ranges),
    positive: { ranges: positiveRanges, groups: groupsOf(positiveRanges) },
    draw(of, call, seed) {
      const feeds: Record<string, Value> = {}
      const drawn = (of.length !== undefined && shortPlans) || plans
      for (const [p, { input, dtype, dims, axis, layout, isData, known }] of drawn.entries()) {
        const rng = random(mix(seed, call, p))
        if (!isData) {
          feeds[input.name] = draw(input, dims, known, rng)
          continue
        }
        const size = sizeOf(dims)
        const data = isWide(dtype) ? new Float64Array(size) : new Float32Array(size)
        const inner = axis === undefined ? 1 : dims.slice(axis + 1).reduce((a, b) => a * b, 1)
        const count = axis === undefined ? 1 : dims[axis]
        for (let s = 0; s < count; s++) {
          const sample = drawSample(layout, { ...of, dtype }, call * samples + s, rng)
          sample.forEach((v, j) => {
            const at = axis === undefined ? j : (Math.floor(j / inner) * count + s) * inner + (j % inner)
            data[at] = v
          })
        }
        feeds[input.name] = toValue(dtype, dims, data)
      }
      return feeds
    },
  }
}

function toValue(dtype: string, dims: readonly number[], data: Float32Array | Float64Array): Value {
  switch (dtype) {
    case 'float64':
      return { dtype, dims, data: Float64Array.from(data) }
    case 'float16':
      return { dtype, dims, data: Uint16Array.from(data, floatToHalf) }
    case 'uint8':
      return { dtype, dims, data: Uint8Array.from(data) }
    case 'int8':
      return { dtype, dims, data: Int8Array.from(data) }
    case 'uint16':
      return { dtype, dims, data: Uint16Array.from(data) }
    case 'int16':
      return { dtype, dims, data: Int16Array.from(data) }
    case 'uint32':
      return { dtype, dims, data: Uint32Array.from(data) }
    case 'int32':
      return { dtype, dims, data: Int32Array.from(data) }
    case 'uint64':
      return { dtype, dims, data: BigUint64Array.from(Array.from(data, BigInt)) }
    case 'int64':
      return { dtype, dims, data: BigInt64Array.from(Array.from(data, BigInt)) }
    default:
      return { dtype, dims, data: data as Float32Array }
  }
}

/** One seed of several numbers. */
function mix(...parts: readonly number[]): number {
  return parts.reduce((hash, part) => Math.imul(hash ^ part, 0x9e3779b1) ^ (hash >>> 15), 0x85ebca6b) >>> 0
}
