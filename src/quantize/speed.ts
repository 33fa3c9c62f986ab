/**
 * For speed: an int8 model that keeps layers in float where integers cost accuracy, or time in a measured run.
 *
 * Accuracy: each layer alone on integers shows how much noise it adds to the output; those with most noise for the
 * multiply-adds that they have go back to float until the score is within the allowed loss, and whichever still fits
 * returns to integers. Time: layers are grouped by the kernel that they use, and a group
 * goes back to float where that shows to be faster by more than the margin; a processor's integer kernels differ that
 * much. Where what is left on integers shows to be slower than the model was, all of it stays in float.
 */
import type { DataHandle } from '../data/handle.ts'
import { stopIfAborted } from '../errors.ts'
import { describe, intAttribute, producersOf } from '../graph/walk.ts'
import type { Context, Feeds } from '../method.ts'
import type { Graph, Model, Node } from '../model.ts'
import { macsOf } from '../ops/cost.ts'
import { inferShapes } from '../ops/shape.ts'
import { checkOptions } from '../options.ts'
import { openSession } from '../runtime/session.ts'
import { type SpeedUp, speedInWords, speedVerdict } from '../speed-up.ts'
import { nodeName, planInt8 } from './_plan.ts'
import {
  type Calibrated,
  calibrateInt8,
  type Int8Options,
  int8,
  integerNode,
  prepareInt8,
  quantizeInt8,
} from './int8.ts'

export interface FastOptions extends Context {
  readonly data: DataHandle
  /** A score of a model on held-back data (never test data), higher is better, such as accuracy in percent. */
  readonly validate: (model: Model) => Promise<number>
  /** How much faster `after` is than `before`, from one interleaved run. */
  readonly compareSpeed: (before: Model, after: Model) => Promise<SpeedUp>
  /** How far the score may fall below the float model's, in the score's unit. */
  readonly maxLoss: number
  readonly int8?: Partial<Int8Options>
  /** A group goes back to float only where the whole model is faster by this share; default 0.03. */
  readonly margin?: number
}

export interface KeptFloat {
  /** The layer's name (its first output where it has none). */
  readonly node: string
  readonly why: string
}

export interface FastResult {
  readonly model: Model
  readonly keptFloat: readonly KeptFloat[]
  /** Beside the float model; left out where that is the result. */
  readonly speedUp?: SpeedUp
  /** The score of the float model and of this one. */
  readonly score: { readonly before: number; readonly after: number }
  /** The score with every layer on integers, where that was below what is allowed. */
  readonly allIntegers?: number
  /** What a person should know, such as that the result is not faster. */
  readonly notes: readonly string[]
}

/** Finds the fast int8 form of a float model; one that computes on integers already comes back as it is, with a note. */
export async function makeFast(model: Model, options: FastOptions): Promise<FastResult> {
  const { validate, maxLoss, margin = 0.03 } = options
  const settings = checkOptions(int8.id, int8.options, options.int8)
  const already = integerNode(model)
  if (already) {
    const score = await validate(model)
    const notes = [`the model is left as it is: ${describe(already)} computes on integers already`]
    return { model, keptFloat: [], score: { before: score, after: score }, notes }
  }
  const prepared = await prepareInt8(model, settings, options)
  const calibrated = await calibrateInt8(prepared, settings, options)
  const search: Search = { prepared, calibrated, settings, options }
  const before = await validate(model)
  const kept = new Map<string, string>(settings.excludeNodes.map((name) => [name, 'asked for']))
  const floor = before - maxLoss
  const whole = await validate(build(search, kept.keys()))
  const accuracy = whole >= floor ? [] : await keepForAccuracy(search, { kept, floor })
  for (const [name, why] of accuracy) kept.set(name, why)
  const slower = await keepForSpeed(search, { kept, margin })
  for (const [name, why] of slower) kept.set(name, why)
  // What is in float for its speed leaves room.
  if (slower.length > 0 && accuracy.length > 0) {
    const still = new Set(await fewest(search, { kept, names: accuracy.map(([name]) => name), floor }))
    for (const [name] of accuracy) if (!still.has(name)) kept.delete(name)
  }
  const layers = planInt8(prepared.graph).layers.map(nodeName)
  const onIntegers = (): string[] => layers.filter((name) => !kept.has(name))
  // With no layer on integers it is the model as it was, as int8 gives it too.
  const chosen = (): Model => (onIntegers().length > 0 ? build(search, kept.keys()) : model)
  let result = chosen()
  let speedUp = result === model ? undefined : await options.compareSpeed(model, result)
  if (speedUp && speedVerdict(speedUp) === 'slower' && speedUp.median < 1 - margin) {
    for (const name of onIntegers()) kept.set(name, `speed: on integers the model is ${speedInWords(speedUp)}`)
    result = chosen()
    speedUp = undefined
  }
  const after = await validate(result)
  const notes = [`${onIntegers().length} of ${layers.length} layers compute on integers`]
  if (result === model) notes.push('the model stays as it was')
  if (before - after > maxLoss) {
    notes.push('more is lost than is allowed')
  }
  return {
    model: result,
    keptFloat: [...kept].map(([node, why]) => ({ node, why })),
    ...(speedUp ? { speedUp } : {}),
    score: { before, after },
    ...(whole < floor ? { allIntegers: whole } : {}),
    notes,
  }
}

interface Search {
  readonly prepared: Model
  readonly calibrated: Calibrated
  readonly settings: Int8Options
  readonly options: FastOptions
}

function build({ prepared, calibrated, settings }: Search, kept: Iterable<string>): Model {
  return quantizeInt8(prepared, calibrated, { ...settings, excludeNodes: [...kept] })
}

/** Of a model whose score is below the floor, the layers that go back to float to raise it: none of them may stay on integers too. */
async function keepForAccuracy(
  search: Search,
  { kept, floor }: { kept: ReadonlyMap<string, string>; floor: number },
): Promise<[string, string][]> {
  const { options } = search
  const enough = (names: readonly string[]): Promise<boolean> => scoresWell(search, [...kept.keys(), ...names], floor)
  const noise = await layerNoise(search.prepared, search.calibrated, { ...search, ...options })
  const ranked = noise.filter((l) => !kept.has(l.node)).sort((a, b) => noisePerWork(b) - noisePerWork(a))
  const names = ranked.map((l) => l.node)
  // Double until it is enough, then halve the gap: scores are noisy, but more float layers seldom score lower.
  let high = 1
  let low = 0
  while (high < names.length && !(await enough(names.slice(0, high)))) {
    low = high
    high = Math.min(names.length, high * 2)
  }
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (await enough(names.slice(0, middle))) high = middle
    else low = middle
  }
  const needed = new Set(await fewest(search, { kept, names: names.slice(0, high), floor }))
  return ranked
    .filter((l) => needed.has(l.node))
    .map((l) => [l.node, `accuracy: alone on integers it gives ${l.snrDb.toFixed(1)} dB`])
}

/** Most layers that are tried on integers again: each costs a judgement of the whole model. */
const mostReturns = 24

/** Those of `names` without which in float the score falls below the floor. The last, least noisy for its work, returns first. */
async function fewest(
  search: Search,
  { kept, names, floor }: { kept: ReadonlyMap<string, string>; names: readonly string[]; floor: number },
): Promise<string[]> {
  const others = [...kept.keys()].filter((name) => !names.includes(name))
  let needed = [...names]
  for (const name of names.slice(-mostReturns).reverse()) {
    stopIfAborted(search.options.signal, 'speed')
    const fewer = needed.filter((n) => n !== name)
    if (await scoresWell(search, [...others, ...fewer], floor)) needed = fewer
  }
  return needed
}

async function scoresWell(search: Search, kept: readonly string[], floor: number): Promise<boolean> {
  return (await search.options.validate(build(search, kept))) >= floor
}

/** Groups of layers and of elementwise operators that are faster in float, found one at a time, best first. */
async function keepForSpeed(
  search: Search,
  { kept, margin }: { kept: ReadonlyMap<string, string>; margin: number },
): Promise<[string, string][]> {
  const { prepared, options } = search
  const more: [string, string][] = []
  const groups = kernelGroups(prepared.graph, new Set(kept.keys()))
  // A single group is all of it: without it nothing would be left on integers.
  const kinds = groups.size
  while (groups.size > 1) {
    stopIfAborted(options.signal, 'speed')
    options.progress?.(1 - groups.size / kinds, 'measuring kinds of layers in float')
    const now = build(search, [...kept.keys(), ...more.map(([name]) => name)])
    const faster = (speedUp: SpeedUp): boolean =>
      speedVerdict(speedUp) === 'faster' && speedUp.median > 1 / (1 - margin)
    let best: { label: string; members: readonly string[]; without: Model; speedUp: SpeedUp } | undefined
    for (const [label, members] of groups) {
      const without = build(search, [...kept.keys(), ...more.map(([name]) => name), ...members])
      const speedUp = await options.compareSpeed(now, without)
      if (faster(speedUp) && speedUp.median > (best?.speedUp.median ?? 0)) best = { label, members, without, speedUp }
    }
    if (!best) break
    // The best of several noisy times flatters: it must hold in a run of its own.
    const { label, members, without } = best
    const alone = await options.compareSpeed(now, without)
    groups.delete(label)
    if (!faster(alone)) continue
    const why = `speed: with ${label} in float the model is ${speedInWords(alone)}`
    more.push(...members.map((name): [string, string] => [name, why]))
  }
  return more
}

/** Nodes on integers by the kernel that they use. */
function kernelGroups(graph: Graph, kept: ReadonlySet<string>): Map<string, string[]> {
  const plan = planInt8(graph, kept)
  const groups = new Map<string, string[]>()
  const producers = producersOf(graph)
  for (const node of plan.nodes) {
    const label = kernelOf(graph, node, producers)
    if (label) groups.set(label, [...(groups.get(label) ?? []), nodeName(node)])
  }
  return groups
}

function kernelOf(graph: Graph, node: Node, producers: ReadonlyMap<string, Node>): string | undefined {
  if (node.op === 'Gemm' || node.op === 'MatMul') return 'dense layers'
  if (node.op === 'Conv') {
    const dims = graph.initializers.get(node.inputs[1])?.dims ?? []
    const group = intAttribute(node, 'group', 1)
    if (!producers.has(node.inputs[0])) return 'the first convolution'
    if (group > 1) return dims[1] === 1 ? 'depthwise convolutions' : 'grouped convolutions'
    return dims.slice(2).every((d) => d === 1) ? '1x1 convolutions' : 'convolutions'
  }
  const elementwise = new Set(['Mul', 'Sigmoid', 'LeakyRelu', 'Concat', 'AveragePool', 'GlobalAveragePool', 'MaxPool'])
  return elementwise.has(node.op) ? `${node.op} nodes` : undefined
}

export interface LayerNoise {
  readonly node: string
  /** Signal to noise of the model's outputs, in dB, when this layer alone is on integers. */
  readonly snrDb: number
  /** Multiply-adds of a calibration batch; 1 where shapes do not tell. */
  readonly macs: number
}

/** Noise power for what a layer's integers save. */
function noisePerWork({ snrDb, macs }: LayerNoise): number {
  return 10 ** (-snrDb / 10) / macs
}

/** Every quantisable layer, the one that adds most noise first. */
export async function layerNoise(
  prepared: Model,
  calibrated: Calibrated,
  options: { settings: Int8Options; data: DataHandle; batches?: number } & Context,
): Promise<LayerNoise[]> {
  const feeds = first(options.data.calibration(), options.batches ?? 1)
  const exact = await floatOutputs(prepared, feeds)
  const { layers, nodes } = planInt8(prepared.graph)
  // Relu and Clip are left out: alone they never start on integers, and a layer's own must stay folded into it.
  const others = [...nodes].filter((n) => n.op !== 'Relu' && n.op !== 'Clip').map(nodeName)
  const noise: LayerNoise[] = []
  const inputShapes = Object.fromEntries(Object.entries(feeds[0] ?? {}).map(([name, { dims }]) => [name, dims]))
  const shapes = inferShapes(prepared, { inputShapes })
  for (const [i, layer] of layers.entries()) {
    stopIfAborted(options.signal, 'speed')
    options.progress?.(i / layers.length, 'measuring each layer alone')
    const excludeNodes = others.filter((name) => name !== nodeName(layer))
    const alone = quantizeInt8(prepared, calibrated, { ...options.settings, excludeNodes })
    const macs = Math.max(1, macsOf(layer, shapes, (name) => shapes.values.get(name)) ?? 1)
    noise.push({ node: nodeName(layer), snrDb: snr(exact, await floatOutputs(alone, feeds)), macs })
  }
  return noise.sort((a, b) => a.snrDb - b.snrDb)
}

function first(batches: Iterable<Feeds>, count: number): Feeds[] {
  const taken: Feeds[] = []
  for (const feeds of batches) {
    taken.push(feeds)
    if (taken.length >= count) break
  }
  return taken
}

async function floatOutputs(model: Model, batches: readonly Feeds[]): Promise<Float32Array[]> {
  const session = await openSession(model, { name: 'int8' })
  try {
    const outputs: Float32Array[] = []
    for (const feeds of batches) {
      const values = Object.values(await session.run(feeds))
      outputs.push(...values.map((v) => v.data).filter((d): d is Float32Array => d instanceof Float32Array))
    }
    return outputs
  } finally {
    await session.release()
  }
}

function snr(exact: readonly Float32Array[], noisy: readonly Float32Array[]): number {
  let signal = 0
  let noise = 0
  exact.forEach((x, k) => {
    for (let i = 0; i < x.length; i++) {
      signal += x[i] ** 2
      noise += (x[i] - noisy[k][i]) ** 2
    }
  })
  return 10 * Math.log10(signal / (noise || Number.MIN_VALUE))
}
