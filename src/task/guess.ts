/**
 * Guessing what outputs mean from the data's labels, the operators that make them, their names and their values. A guess
 * that would let a search ruin an output in silence is not made: what nothing speaks for is judged as numbers, every
 * value of which counts.
 */
import { batchAxisOf } from '../data/batch-axis.ts'
import { stateInputOf } from '../graph/states.ts'
import type { Value } from '../method.ts'
import type { Dim, Graph, Model, Node, ValueInfo } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { type DataType, isFloat } from '../tensor/dtype.ts'
import { foundValues } from './found.ts'
import {
  deciderOf,
  endOf,
  floatsBehind,
  isDecided,
  isOrdered,
  isSorted,
  outputShowing,
  tableBehind,
} from './output-origin.ts'
import { isDecision, maskName, type OutputTask, type Task } from './task.ts'
import { type Answers, toldByData } from './told-by-data.ts'

export interface GuessOptions {
  /** Its labels or targets say what the outputs are. */
  readonly dataset?: Answers
  /** Outputs of a run, where there was one: their dimensions and range tell more. */
  readonly seen?: Readonly<Record<string, Value>>
}

/** Guesses the task of every output. Never throws. */
export function guessTask(model: Model, options: GuessOptions = {}): Task {
  const { graph } = model
  const types = typesOf(model)
  const shapes = shapesOf(model, types, options)
  const typeOf = (name: string): DataType | undefined => types?.get(name)?.dtype
  const found = foundValues(model, typeOf)
  const batchOf = (name: string, shape = shapes(name)): Pick<OutputTask, 'batchAxis'> => {
    const axis = batchAxisOf({ name, shape }, model) ?? 0
    return axis > 0 ? { batchAxis: axis } : {}
  }
  const outputs = graph.outputs.map((info): OutputTask => {
    const finder = found.behind.get(info.name)
    if (finder) return { output: info.name, kind: 'ignored', why: whyFound(finder, found.lookedAt) }
    const decider = deciderOf(graph, info)
    const shown = decider && outputShowing(graph, decider.scores)
    const behind = decider?.op === 'ZipMap' || !shown ? decider : undefined
    const name = behind?.scores ?? info.name
    const shape = shapes(name) ?? (behind ? undefined : info.shape)
    const guess = behind
      ? guessScores(model, name, behind.axis, shape ?? [])
      : { ...guessOutput(model, { ...info, shape }, options, types), ...(shown ? { decidedBy: [shown] } : {}) }
    return { output: name, ...guess, ...batchOf(name, shape) }
  })
  const lookedAt = graph.outputs.some((o) => found.behind.has(o.name))
    ? found.lookedAt.map((output): OutputTask => ({ output, kind: 'numbers', why: 'what is found depends on it' }))
    : []
  const labelled = toldByData(merged(outputs), model, shapes, options.dataset ?? {})
  return { outputs: merged([...withFloatsBehind(labelled, graph, { typeOf, batchOf }), ...lookedAt]) }
}

/**
 * Beside outputs that are not floats, and are not decided by an output of floats, the floats that they are made of: what tells
 * how near they are to turning.
 */
function withFloatsBehind(
  outputs: readonly OutputTask[],
  graph: Graph,
  {
    typeOf,
    batchOf,
  }: {
    readonly typeOf: (name: string) => DataType | undefined
    readonly batchOf: (name: string) => Pick<OutputTask, 'batchAxis'>
  },
): OutputTask[] {
  const isWhole = (output: string): boolean =>
    graph.outputs.some(({ name, dtype }) => name === output && dtype !== undefined && !/float/.test(dtype)) ||
    isDecided(graph, output)
  const behind: OutputTask[] = []
  const decided = outputs.map((o) => {
    if (!isDecision(o) || o.decidedBy || !isWhole(o.output)) return o
    const { floats, tells } = floatsBehind(graph, o.output, typeOf)
    const why = `"${o.output}" is made of it`
    for (const output of floats) behind.push({ output, kind: 'numbers', decides: true, why, ...batchOf(output) })
    return floats.length > 0 && tells ? { ...o, decidedBy: floats } : o
  })
  return [...decided, ...behind]
}

function whyFound(finder: string, lookedAt: readonly string[]): string {
  const instead = lookedAt.length > 0 ? ', which is judged by what it looks at' : ''
  return `it depends on what ${finder} finds${instead}`
}

type Guess = Omit<OutputTask, 'output' | 'batchAxis'>

/** Types of pictures and sound: several such numbers that were floats are no classes. */
const samplesOnly = /^u?int(8|16)$/

/** What an output is when the data says nothing. */
function guessOutput(model: Model, info: ValueInfo, { seen }: GuessOptions, types: Types | undefined): Guess {
  const { name, dtype, shape, opaqueType } = info
  if (opaqueType) return { kind: 'ignored', why: 'it is not a tensor' }
  if (seen?.[name]?.data.length === 0 && shape?.includes(0)) return { kind: 'ignored', why: 'it is empty' }
  if (dtype === 'string') return { kind: 'classes', why: 'it holds text' }
  const [end, place] = endOf(model.graph, name)
  if (dtype !== undefined && !/float/.test(dtype)) {
    const isRounded = isFloat(types?.get(end?.outputs[place] ?? '')?.dtype) || end?.op === 'QuantizeLinear'
    return isRounded && samplesOnly.test(dtype) && !shape?.slice(1).every((d) => d === 1)
      ? { kind: isImage(model, shape ?? []) ? 'image' : 'numbers', why: `rounded to ${dtype}, as samples are` }
      : guessWhole(shape, end, tableBehind(model.graph, name))
  }
  if (isDecided(model.graph, name)) return guessWhole(shape, end, undefined)
  if (isState(model, info, end, place)) return { kind: 'state', why: 'it goes into the next call' }
  const range = rangeOf(seen?.[name])
  const dims = shape ?? []
  const wide = dims.flatMap((d, axis) => (axis > 0 && d !== 1 ? [axis] : []))
  if (wide.length > 0 && isSorted(model.graph, name)) return { kind: 'numbers', why: 'a TopK sorts them' }
  const softmax = softmaxBehind(model.graph, end)
  if (softmax)
    return guessSoftmax(model, {
      dims,
      wide,
      end: softmax,
      name,
      probabilities: softmax === end && end.op === 'Softmax',
    })
  if (end?.op === 'Sigmoid' || end?.op === 'HardSigmoid') return guessSigmoid({ dims, wide, name })
  if (wide.length === 1 && range?.distribution) {
    return { kind: 'classes', axis: wide[0], probabilities: true, why: 'its rows sum to 1' }
  }
  return guessByName(model, { dims, wide, name, end })
}

/** The Softmax or LogSoftmax that an output ends in, or the Softmax whose logarithm it is, kept above zero or not. */
function softmaxBehind(graph: Graph, end: Node | undefined): Node | undefined {
  if (end?.op === 'Softmax' || end?.op === 'LogSoftmax') return end
  if (end?.op !== 'Log') return undefined
  let [inner] = endOf(graph, end.inputs[0])
  if (inner && ['Clip', 'Max', 'Add'].includes(inner.op)) [inner] = endOf(graph, inner.inputs[0])
  return inner?.op === 'Softmax' ? inner : undefined
}

/** A table of so many numbers that only rise or fall holds numbers, not classes. */
const leastOfTable = 16

/** How many values a sample makes no difference to what whole numbers are: decisions, but where a table says otherwise. */
function guessWhole(
  shape: readonly Dim[] | undefined,
  end: Node | undefined,
  table: ArrayLike<number> | undefined,
): Guess {
  if (table && table.length >= leastOfTable && isOrdered(table))
    return { kind: 'numbers', why: 'looked up in a table of numbers in order' }
  const one = !shape || shape.slice(1).every((d) => d === 1)
  const why = end?.op === 'ArgMax' ? 'an ArgMax decides it' : 'whole numbers'
  return one ? { kind: 'classes', why } : { kind: 'tokens', why }
}

interface Seen {
  readonly dims: readonly Dim[]
  /** Axes behind the batch that are not 1. */
  readonly wide: readonly number[]
  readonly name: string
  readonly end?: Node
}

function guessSoftmax(
  model: Model,
  { dims, wide, name, probabilities, end }: Seen & { readonly probabilities: boolean },
): Guess {
  const why = `it ends in ${end?.op}`
  if (dims.length === 0) return { kind: 'classes', axis: 1, probabilities, why }
  if (wide.length <= 1) return { kind: 'classes', axis: wide[0] ?? Math.max(0, dims.length - 1), probabilities, why }
  // Of boxes a few of thousands are kept, by how high their scores are.
  if (hasBoxesBeside(model, name, dims)) return { kind: 'numbers', why: 'scores of boxes' }
  const axis = dims.length === 4 && end?.inputs[0] !== undefined && softmaxAxis(end) === 1 ? 1 : dims.length - 1
  return { kind: dims.length === 3 && isSequence(model, name) ? 'tokens' : 'mask', axis, probabilities, why }
}

/** Whether another output has four numbers for each position of [N, positions, classes]. */
function hasBoxesBeside({ graph }: Model, name: string, dims: readonly Dim[]): boolean {
  const isAlike = (a: Dim, b: Dim): boolean => a === b || typeof a !== 'number' || typeof b !== 'number'
  return (
    dims.length === 3 &&
    graph.outputs.some(
      ({ name: other, shape }) => other !== name && shape?.length === 3 && shape[2] === 4 && isAlike(shape[1], dims[1]),
    )
  )
}

function softmaxAxis({ attributes }: Node): number | undefined {
  return attributes.axis?.type === 'int' ? Number(attributes.axis.value) : undefined
}

function guessSigmoid({ dims, wide, name }: Seen): Guess {
  const why = 'it ends in Sigmoid'
  // Positions or boxes, of which there may be one alone where a file's sizes are fixed.
  if (dims.length === 3) return { kind: 'numbers', why: `${why}, no softmax, no labels` }
  if (wide.length === 0) return { kind: 'binary', probabilities: true, why }
  if (wide.length === 1) return { kind: 'labels', probabilities: true, why }
  if (maskName.test(name) && dims[1] === 1) return { kind: 'mask', probabilities: true, why: `${why}, its name` }
  if (dims.length === 4) return { kind: 'image', why }
  return { kind: 'numbers', why: `${why}, no softmax, no labels` }
}

const className = /logit|class|cls|scores?\b|prob|softmax|categor/i
const embeddingName = /embed|feature|descriptor|encoding/i
/** Class counts of ImageNet and its relatives: no regressor has these by chance. */
const knownClassCounts = new Set<Dim>([1000, 1001, 21841, 21843])

function guessByName(model: Model, { dims, wide, name, end }: Seen): Guess {
  if (wide.length === 1) {
    const [axis] = wide
    if (className.test(name)) return { kind: 'classes', axis, why: 'its name' }
    if (knownClassCounts.has(dims[axis])) return { kind: 'classes', axis, why: `${dims[axis]} scores, as ImageNet has` }
    if (embeddingName.test(name)) return { kind: 'embedding', axis, why: 'its name' }
    if (end?.op === 'LpNormalization') return { kind: 'embedding', axis, why: 'it is normalised' }
  }
  if (dims.length === 3 && /logit/i.test(name)) return { kind: 'tokens', axis: 2, why: 'its name' }
  if (dims.length === 4) {
    if (embeddingName.test(name)) return { kind: 'numbers', why: 'its name' }
    if (maskName.test(name) && dims[1] !== 1) return { kind: 'mask', axis: 1, why: 'its name' }
    if (isImage(model, dims)) return { kind: 'image', why: 'of the size of the image that goes in, or a multiple' }
    // Feature maps and fields of vectors look the same, so the values behind the classes are judged as well.
    const several = typeof dims[1] === 'number' && dims[1] > 1 && wide.length > 1
    if (several && className.test(name))
      return { kind: 'mask', axis: 1, valuesToo: true, why: 'its name; its values count too' }
    if (several && isOfInputSize(model, dims)) {
      const features = featuresOf(dims[1] as number, end)
      return features
        ? { kind: 'numbers', why: `${features}, as maps of features have` }
        : { kind: 'mask', axis: 1, valuesToo: true, why: 'scores per pixel of the input; its values count too' }
    }
  }
  return { kind: 'numbers', why: 'no softmax, no labels' }
}

/** Operators that features go through and scores do not. */
const featureOps = new Set([
  ...['Relu', 'LeakyRelu', 'PRelu', 'Elu', 'Selu', 'Celu', 'Gelu', 'Mish', 'HardSwish', 'Softplus', 'Tanh', 'Clip'],
  ...['MaxPool', 'AveragePool', 'BatchNormalization', 'InstanceNormalization', 'GroupNormalization', 'LpNormalization'],
])

/** What says that channels of a map are features rather than classes: numbers of filters are powers of two, of classes rarely. */
function featuresOf(channels: number, end: Node | undefined): string | undefined {
  if (end && featureOps.has(end.op)) return `${channels} channels behind ${end.op}`
  return channels >= 16 && Number.isInteger(Math.log2(channels)) ? `${channels} channels` : undefined
}

/** Whether [N,1|3|4,H,W] comes of an input of the same form whose sides are not larger. */
function isImage({ graph }: Model, dims: readonly Dim[]): boolean {
  const channels = [1, 3, 4]
  if (!channels.includes(dims[1] as number)) return false
  return graph.inputs.some(
    ({ shape }) =>
      shape?.length === 4 &&
      channels.includes(shape[1] as number) &&
      [2, 3].every((axis) => {
        const [from, to] = [shape[axis], dims[axis]]
        return typeof from !== 'number' || typeof to !== 'number' || to >= from
      }),
  )
}

/** Whether an image or map has the sides of the only one that goes in. */
function isOfInputSize({ graph }: Model, dims: readonly Dim[]): boolean {
  const maps = graph.inputs.filter(({ shape }) => shape?.length === 4)
  return maps.length === 1 && [2, 3].every((axis) => dims[axis] !== undefined && maps[0].shape?.[axis] === dims[axis])
}

/** Sequences come of token ids or through recurrent layers. */
function isSequence({ graph }: Model, name: string): boolean {
  const whole = graph.inputs.some((i) => i.dtype === 'int64' || i.dtype === 'int32')
  return whole || /token|logit|ctc|char/i.test(name) || graph.nodes.some((n) => recurrent.has(n.op))
}

const recurrent = new Set(['LSTM', 'GRU', 'RNN'])

/** A state: made by a recurrent layer as such, or of the shape of an input whose name it shares. */
function isState({ graph }: Model, info: ValueInfo, end: Node | undefined, place: number): boolean {
  if (end && recurrent.has(end.op) && place > 0) return true
  return stateInputOf(graph, info) !== undefined
}

/** Scores that something decides by: classes, however they come about. */
function guessScores(model: Model, name: string, axis: number, dims: readonly Dim[]): Guess {
  const [end] = endOf(model.graph, name)
  const wide = dims.filter((d, a) => a > 0 && d !== 1)
  const place = axis < 0 ? axis + Math.max(dims.length, 2) : axis
  return {
    kind: wide.length > 1 ? 'mask' : 'classes',
    axis: place,
    ...(end?.op === 'Softmax' ? { probabilities: true } : {}),
    why: 'the model decides by it',
  }
}

type Types = ReturnType<typeof inferShapes>['values']

function typesOf(model: Model): Types | undefined {
  try {
    return inferShapes(model).values
  } catch {
    // Shapes are a hint here: without them the declared ones speak.
    return undefined
  }
}

/** Dimensions of values: as run, else as inferred, else as declared. */
function shapesOf(
  model: Model,
  inferred: Types | undefined,
  { seen }: GuessOptions,
): (name: string) => readonly Dim[] | undefined {
  return (name) => {
    const declared = model.graph.outputs.find((o) => o.name === name)?.shape
    const known = inferred?.get(name)?.shape
    const run = seen?.[name]?.dims
    if (!run) return declared ?? known
    return run.map((d, axis) => (axis === 0 || typeof declared?.[axis] === 'string' ? (declared?.[axis] ?? d) : d))
  }
}

/** The same scores twice (a ZipMap's, and an output of their own) are judged once. */
function merged(outputs: readonly OutputTask[]): OutputTask[] {
  return outputs.filter((o, i) => outputs.findIndex((other) => other.output === o.output) === i)
}

function rangeOf(value: Value | undefined): { readonly distribution: boolean } | undefined {
  if (!(value?.data instanceof Float32Array) || value.dims.length < 2 || value.data.length === 0) return undefined
  const { data, dims } = value
  const width = dims.slice(1).reduce((a, b) => a * b, 1)
  if (width < 2) return { distribution: false }
  for (let row = 0; row + width <= data.length; row += width) {
    let sum = 0
    for (const v of data.subarray(row, row + width)) {
      if (!(v >= 0 && v <= 1)) return { distribution: false }
      sum += v
    }
    if (Math.abs(sum - 1) > 1e-3) return { distribution: false }
  }
  return { distribution: data.length > 0 }
}
