/**
 * Seeded inputs for any model. What the model's input types leave open (symbolic and unknown sizes, integer settings
 * such as a sampling rate) is guessed from the graph where it tells, then tried in ONNX Runtime, likeliest first.
 */
import { axisOf, type BatchSize, batchOf, isOpen, requiredInputs } from '../data/batch-axis.ts'
import type { InputGroup } from '../data/handle.ts'
import { UnsupportedError } from '../errors.ts'
import { constantOf, producersOf } from '../graph/walk.ts'
import type { Feeds, Value } from '../method.ts'
import type { Graph, Model, Node, ValueInfo } from '../model.ts'
import type { Session } from '../runtime/session.ts'
import { floats, floatToHalf, integers, sizeOf } from '../tensor/dtype.ts'
import { type Random, random } from '../tensor/random.ts'
import { drawSample, layoutOf, rangesOf } from './random-signals.ts'

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
  /** Pictures, sounds or vectors in one of the ranges, or flat noise; `call` 0, 1, ... gives each kind in turn. */
  draw(of: InputGroup, call: number, seed: number): Feeds
}

/** What the sizes left open are set to, in the order they are tried: the sides of images, and any other length. */
const sizeLadder = [
  { side: 224, length: 512 },
  { side: 32, length: 128 },
  { side: 512, length: 224 },
  { side: 256, length: 256 },
  { side: 128, length: 64 },
  { side: 64, length: 32 },
  { side: 16, length: 16 },
  { side: 1, length: 1 },
  { side: 1024, length: 1024 },
]
const channelLadder = [3, 1]
/** Sequences of an open length are also drawn this long: errors of what looks at all of them depend on how many there are. */
const shortLength = 16

/** Finds shapes that the model runs with. Throws one sentence, with the runtime's reason, where none is found. */
export async function findRandomInputs(
  model: Model,
  session: Session,
  options: RandomInputOptions = {},
): Promise<RandomInputs> {
  const { batchSize = 1 } = options
  const inputs = requiredInputs(model)
  const batch = batchOf(inputs, model.graph.outputs)
  const words = wordsOf(model.graph)
  const known = new Map(inputs.map((input) => [input.name, { range: integerRange(model.graph, input), words }]))
  const drawAll = (shapes: readonly (readonly number[])[], seed: number): Feeds => {
    const rng = random(seed)
    return Object.fromEntries(
      inputs.map((input, i) => [input.name, draw(input, shapes[i], known.get(input.name)!, rng)]),
    )
  }
  let failure: unknown
  for (const shapes of candidateShapes(inputs, batch, batchSize)) {
    const make = (seed: number): Feeds => drawAll(shapes, seed)
    try {
      await session.run(make(0))
    } catch (cause) {
      if (cause instanceof UnsupportedError) throw cause
      failure = cause
      continue
    }
    const short = await shortShapes(session, { inputs, shapes, batch, batchSize, draw: drawAll })
    const batchSizeTaken = batchSize === 1 || inputs.every((input) => takesBatches(input, batch))
    const samples = batchSizeTaken ? batchSize : 1
    return {
      batchSizeTaken,
      samples,
      ...rangedInputs({ inputs, shapes, short, batch, samples, knownOf: (input) => known.get(input.name)! }),
      shapes: Object.fromEntries(inputs.map((input, i) => [input.name, shapes[i]])),
      make,
    }
  }
  const reason = failure instanceof Error ? failure.message : String(failure)
  const fixed = inputs.every(({ shape }) => shape?.every((dim) => !isOpen(dim)))
  const what = fixed
    ? `the model does not run with inputs of its own shapes, ${inputs.map(({ name, shape }) => `"${name}" [${shape}]`).join(', ')}`
    : 'no shape was found that the model runs with; expected --input-shape NAME=SIZES, or data'
  throw new UnsupportedError(`random inputs: ${what} (${reason})`, { cause: failure })
}

interface Trying extends Found {
  readonly batchSize: number
  draw(shapes: readonly (readonly number[])[], seed: number): Feeds
}

interface Found {
  readonly inputs: readonly ValueInfo[]
  readonly shapes: readonly (readonly number[])[]
  readonly batch: BatchSize
}

/** The shapes with short sequences, where the model leaves their length open and runs with such ones. */
async function shortShapes(session: Session, { inputs, shapes, batch, batchSize, draw }: Trying) {
  const [channels] = channelLadder
  const size = { side: 0, length: shortLength }
  const short = inputs.map((input, i) =>
    shapeWith(input, { size, channels, batch, batchSize }).map((d, axis) => {
      // Of floats the last axis is no sequence but a sound, whose first instants say nothing, or features.
      const isSound = axis === shapes[i].length - 1 && /^float/.test(input.dtype ?? 'float32')
      const isLength = d === shortLength && isOpen(input.shape?.[axis]) && !isSound
      return isLength ? Math.min(d, shapes[i][axis]) : shapes[i][axis]
    }),
  )
  if (short.every((dims, i) => dims.every((d, axis) => d === shapes[i][axis]))) return undefined
  try {
    await session.run(draw(short, 0))
    return short
  } catch {
    return undefined
  }
}

function takesBatches(input: ValueInfo, batch: BatchSize): boolean {
  const axis = axisOf(input, batch)
  return axis === undefined || isOpen(input.shape?.[axis])
}

/** Shapes for all inputs, likeliest first. The same symbol has the same size everywhere. */
function* candidateShapes(inputs: readonly ValueInfo[], batch: BatchSize, batchSize: number): Generator<number[][]> {
  const seen = new Set<string>()
  for (const size of sizeLadder) {
    for (const channels of channelLadder) {
      const shapes = inputs.map((input) => shapeWith(input, { size, channels, batch, batchSize }))
      const key = JSON.stringify(shapes)
      if (seen.has(key)) continue
      seen.add(key)
      yield shapes
    }
  }
}

function shapeWith(
  input: ValueInfo,
  {
    size,
    channels,
    batch,
    batchSize,
  }: {
    readonly size: { readonly side: number; readonly length: number }
    readonly channels: number
    readonly batch: BatchSize
    readonly batchSize: number
  },
): number[] {
  const dims = input.shape ?? [undefined, undefined, undefined, undefined] // of unknown rank: perhaps an image
  const samples = axisOf({ ...input, shape: dims }, batch)
  return dims.map((dim, axis) => {
    if (!isOpen(dim)) return dim as number
    if (axis === samples || (typeof dim === 'string' && /batch/i.test(dim))) return batchSize
    if (dims.length === 4 && axis === 1) return channels
    return dims.length === 4 ? size.side : size.length
  })
}

/** Whole numbers [from, to] that an integer input may take, or the 1s and 0s of a mask. */
type Range = readonly [from: number, to: number] | 'mask'

/**
 * What the graph tells about an integer input: a table it indexes, or a constant that one number is compared with. Several
 * numbers per sample that are compared, and index nothing, are a mask.
 */
function integerRange(graph: Graph, input: ValueInfo): Range {
  const producers = producersOf(graph)
  const reads = (node: Node): boolean => {
    let name = input.name
    for (let hop = 0; hop < 4; hop++) {
      if (node.inputs.includes(name)) return true
      const alias = graph.nodes.find((n) => (n.op === 'Cast' || n.op === 'Identity') && n.inputs[0] === name)
      if (!alias) return false
      name = alias.outputs[0]
    }
    return false
  }
  const readers = graph.nodes.filter(reads)
  for (const node of readers) {
    if (node.op !== 'Gather' || node.inputs[1] === undefined) continue
    const rows = constantOf(graph, node.inputs[0], producers)?.dims[0]
    if (rows) return [0, rows - 1]
  }
  const isOne = input.shape?.every((d, axis) => d === 1 || axis === 0) ?? true
  const compares = readers.filter((node) => /^(Equal|Less|Greater)/.test(node.op))
  if (!isOne) return compares.length > 0 || /mask/i.test(input.name) ? 'mask' : [0, 1]
  for (const node of compares) {
    const other = node.inputs.map((name) => constantOf(graph, name, producers)).find((t) => t && sizeOf(t.dims) === 1)
    if (!other) continue
    const value = Number(other.dtype.startsWith('float') ? floats(other)[0] : integers(other)[0])
    return [value, value]
  }
  return input.shape?.length === 0 ? [1, 1] : [0, 1]
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
}

function draw(input: ValueInfo, dims: readonly number[], { range, words }: Known, rng: Random): Value {
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
    case 'bool':
      return { dtype, dims, data: Uint8Array.from({ length: size }, () => rng.below(2)) }
    case 'string':
      return { dtype, dims, data: Array.from({ length: size }, () => words[rng.below(words.length)]) }
    default:
      throw new UnsupportedError(`random inputs: input "${input.name}" takes ${dtype}, which cannot be drawn`)
  }
}

/** Rows that end in padding: 1 for at least the first half of each, 0 behind. A row of zeros alone would leave nothing to attend to. */
function mask(dtype: string, dims: readonly number[], rng: Random): Value {
  const length = dims[dims.length - 1] ?? 1
  const bits = new Uint8Array(sizeOf(dims))
  for (let from = 0; from < bits.length; from += length)
    bits.fill(1, from, from + Math.ceil(length / 2) + rng.below(Math.floor(length / 2) + 1))
  if (dtype === 'int64') return { dtype, dims, data: BigInt64Array.from(bits, BigInt) }
  if (dtype === 'int32') return { dtype, dims, data: Int32Array.from(bits) }
  return { dtype: 'bool', dims, data: bits }
}

/** Inputs of large enough size are data; smaller ones beside them are states and settings, which stay near 0. */
const dataShare = 0.25

/** Drawing in ranges: each float input that holds data as samples of its form, the others as `draw` does. */
function rangedInputs({
  inputs,
  shapes,
  short,
  batch,
  samples,
  knownOf,
}: Found & {
  readonly short?: readonly (readonly number[])[]
  readonly samples: number
  readonly knownOf: (input: ValueInfo) => Known
}): Pick<RandomInputs, 'ranges' | 'groups' | 'draw'> {
  const largest = Math.max(...shapes.map(sizeOf))
  const planOf = (sizes: readonly (readonly number[])[]) =>
    inputs.map((input, i) => {
      const axis = axisOf(input, batch)
      const dims = sizes[i]
      const perSample = axis === undefined ? dims : dims.filter((_, a) => a !== axis)
      const isData = /^(float|uint8)/.test(input.dtype ?? 'float32') && sizeOf(shapes[i]) >= dataShare * largest
      return { input, dims, axis, layout: layoutOf(perSample), isData }
    })
  const plans = planOf(shapes)
  const shortPlans = short && planOf(short)
  const main = plans.filter((p) => p.isData).sort((a, b) => sizeOf(b.dims) - sizeOf(a.dims))[0]
  const isImage = main?.layout.isImage ?? false
  const bytes = main?.input.dtype === 'uint8'
  const ranges = !main ? ['as the graph allows'] : bytes ? ['0..255'] : rangesOf(main.layout.form)
  return {
    ranges,
    groups: ranges.flatMap((range) =>
      [{}, ...(short ? [{ length: shortLength }] : [])].flatMap((length) =>
        (isImage ? [false] : [false, true]).map((isNoise) => ({ range, isNoise, isImage, ...length })),
      ),
    ),
    draw(of, call, seed) {
      const feeds: Record<string, Value> = {}
      const drawn = (of.length !== undefined && shortPlans) || plans
      for (const [p, { input, dims, axis, layout, isData }] of drawn.entries()) {
        const rng = random(mix(seed, call, p))
        if (!isData) {
          feeds[input.name] = draw(input, dims, knownOf(input), rng)
          continue
        }
        const data = new Float32Array(sizeOf(dims))
        const inner = axis === undefined ? 1 : dims.slice(axis + 1).reduce((a, b) => a * b, 1)
        const count = axis === undefined ? 1 : dims[axis]
        for (let s = 0; s < count; s++) {
          const sample = drawSample(layout, of, call * samples + s, rng)
          sample.forEach((v, j) => {
            const at = axis === undefined ? j : (Math.floor(j / inner) * count + s) * inner + (j % inner)
            data[at] = v
          })
        }
        feeds[input.name] = toValue(input.dtype ?? 'float32', dims, data)
      }
      return feeds
    },
  }
}

function toValue(dtype: string, dims: readonly number[], data: Float32Array): Value {
  if (dtype === 'float64') return { dtype, dims, data: Float64Array.from(data) }
  if (dtype === 'float16') return { dtype, dims, data: Uint16Array.from(data, floatToHalf) }
  if (dtype === 'uint8') return { dtype, dims, data: Uint8Array.from(data) }
  return { dtype, dims, data }
}

/** One seed of several numbers. */
function mix(...parts: readonly number[]): number {
  return parts.reduce((hash, part) => Math.imul(hash ^ part, 0x9e3779b1) ^ (hash >>> 15), 0x85ebca6b) >>> 0
}
