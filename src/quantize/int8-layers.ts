/** What is known of a model's layers on integers: their names, which stay in float, the noise that each adds, and which of the runtime's kernels it uses. */
import type { DataHandle } from '../data/handle.ts'
import { stopIfAborted } from '../errors.ts'
import { node } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { intAttribute, nodeName, producersOf } from '../graph/walk.ts'
import { replaceTensors } from '../graph/weights.ts'
import type { Context, Feeds } from '../method.ts'
import type { Graph, Model, Node } from '../model.ts'
import { macsOf } from '../ops/cost.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession } from '../runtime/session.ts'
import { judgedModel } from '../task/judged-model.ts'
import type { Task } from '../task/task.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import type { Range } from './_histogram.ts'
import { type Plan, planInt8 } from './_plan.ts'
import { type ActivationScale, dequantizeWeight, inputScaleOf, quantizeLayer, scaleOfValue } from './_qdq.ts'
import { type Calibrated, type Int8Options, quantizeInt8 } from './int8.ts'

export { leftInFloat } from './_plan.ts'

/** How options name the layers that int8 can put on integers, in order. */
export function layerNames(graph: Graph): string[] {
  return planInt8(graph).layers.map(nodeName)
}

/** Nodes on integers by the kernel that they use. */
export function kernelGroups(graph: Graph, kept: ReadonlySet<string>): Map<string, string[]> {
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

type NoiseOptions = { settings: Int8Options; data: DataHandle; batches?: number } & Context

/** What the float model gives for some calibration batches. */
interface Exact {
  readonly feeds: readonly Feeds[]
  readonly exact: readonly Float32Array[]
}

async function exactOutputs(prepared: Model, { data, batches = 1, task }: NoiseOptions): Promise<Exact> {
  const feeds = first(data.calibration(), batches)
  return { feeds, exact: await floatOutputs(prepared, feeds, task) }
}

/** Every quantisable layer of a prepared model, the one that adds most noise for what its integers save first. */
export async function layerNoise(
  prepared: Model,
  calibrated: Calibrated,
  options: NoiseOptions,
): Promise<LayerNoise[]> {
  return noiseBeside(await exactOutputs(prepared, options), { prepared, calibrated, options })
}

async function noiseBeside(
  { feeds, exact }: Exact,
  { prepared, calibrated, options }: { prepared: Model; calibrated: Calibrated; options: NoiseOptions },
): Promise<LayerNoise[]> {
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
    noise.push({ node: nodeName(layer), snrDb: snr(exact, await floatOutputs(alone, feeds, options.task)), macs })
  }
  return noise.sort((a, b) => noisePerWork(b) - noisePerWork(a) || a.snrDb - b.snrDb)
}

function first(batches: Iterable<Feeds>, count: number): Feeds[] {
  const taken: Feeds[] = []
  for (const feeds of batches) {
    taken.push(feeds)
    if (taken.length >= count) break
  }
  return taken
}

/** What is judged where the task says, else all outputs. */
async function floatOutputs(model: Model, batches: readonly Feeds[], task?: Task): Promise<Float32Array[]> {
  const session = await openSession(task ? judgedModel(model, task) : model, { name: 'int8' })
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
      // Of a value that is not finite (a logarithm of nothing) there is no noise.
      if (!Number.isFinite(x[i])) continue
      const error = x[i] - noisy[k][i]
      signal += x[i] ** 2
      noise += Number.isNaN(error) ? Number.POSITIVE_INFINITY : error ** 2
    }
  })
  return 10 * Math.log10(signal / (noise || Number.MIN_VALUE))
}

/** What of a layer on integers costs how much: signal to noise of the model's outputs, in dB, with that alone rounded. */
export interface LayerCauses extends LayerNoise {
  readonly op: string
  /** Its weights, to int8. */
  readonly weightsDb: number
  /** What it reads, to uint8. */
  readonly inputDb: number
  /** What it makes, to uint8; undefined where it is written as float. */
  readonly resultDb?: number
  /** The range of what it reads. */
  readonly range: Range
  /** Where most of the noise is from. */
  readonly mainly: 'weights' | 'input' | 'result'
  /** The largest step of a weight's output channel over the smallest. */
  readonly weightSpread: number
}

/** Every quantisable layer of a prepared model, with where its noise is from; the noisiest first. */
export async function layerCauses(
  prepared: Model,
  calibrated: Calibrated,
  options: NoiseOptions,
): Promise<LayerCauses[]> {
  const { feeds, exact } = await exactOutputs(prepared, options)
  const alone = await noiseBeside({ feeds, exact }, { prepared, calibrated, options })
  const whole = new Map(alone.map((l) => [l.node, l]))
  const plan = planInt8(prepared.graph, new Set(options.settings.excludeNodes))
  const { ranges } = calibrated
  const noiseOf = async (changed: Model): Promise<number> =>
    snr(exact, await floatOutputs(changed, feeds, options.task))
  const causes: LayerCauses[] = []
  for (const [i, layer] of plan.layers.entries()) {
    stopIfAborted(options.signal, 'int8')
    options.progress?.(i / plan.layers.length, 'measuring what costs')
    const noise = whole.get(nodeName(layer))
    if (!noise) continue
    const [input] = layer.inputs
    const result = resultOf(prepared.graph, layer, plan)
    const inputScale = inputScaleOf(layer, { plan, ranges })
    const given = calibrated.weights.get(nodeName(layer))
    const quantized = quantizeLayer(prepared.graph, layer, { inputScale, pairs: options.settings.reduceRange, given })
    const rounded = dequantizeWeight(quantized.weight, quantized, quantized.axis)
    const used = quantized.scales.filter((s) => s > 0 && s !== 1)
    const weightsDb = await noiseOf(replaceTensors(prepared, new Map([[quantized.weight, rounded]])))
    const inputDb = await noiseOf(withRounded(prepared, input, scaleOfValue(input, plan, ranges), layer))
    const resultDb =
      result === undefined
        ? undefined
        : await noiseOf(withRounded(prepared, result, scaleOfValue(result, plan, ranges)))
    const parts = { weights: weightsDb, input: inputDb, ...(resultDb === undefined ? {} : { result: resultDb }) }
    const [[mainly]] = Object.entries(parts).sort(([, a], [, b]) => a - b) as [LayerCauses['mainly'], number][]
    causes.push({
      ...noise,
      op: layer.op,
      weightsDb,
      inputDb,
      ...(resultDb === undefined ? {} : { resultDb }),
      range: ranges.get(plan.values.get(input) ?? input) as Range,
      mainly,
      weightSpread: used.length > 0 ? Math.max(...used) / Math.min(...used) : 1,
    })
  }
  return causes.sort((a, b) => a.snrDb - b.snrDb)
}

/** The value that a layer makes, behind what is folded into it; undefined where that stays float. */
function resultOf(graph: Graph, layer: Node, { values }: Plan): string | undefined {
  const [made] = layer.outputs
  if (values.has(made)) return made
  const next = graph.nodes.find((n) => n.inputs[0] === made && (n.op === 'Relu' || n.op === 'Clip'))
  return next && values.has(next.outputs[0]) ? next.outputs[0] : undefined
}

/** The model with a value rounded to uint8, for everyone or for one reader. */
function withRounded(model: Model, name: string, { scale, zeroPoint }: ActivationScale, reader?: Node): Model {
  const edit = editGraph(model)
  const [integers, rounded] = ['integers', 'rounded'].map((s) => edit.fresh(`${name}_${s}`))
  const parameters = [
    edit.store(floatTensor(edit.fresh(`${name}_scale`), [], [scale])),
    edit.store(integerTensor(edit.fresh(`${name}_zero_point`), 'uint8', [], [zeroPoint])),
  ]
  const rounding = (from: string, to: string): Node[] => [
    node('QuantizeLinear', [from, ...parameters], [integers]),
    node('DequantizeLinear', [integers, ...parameters], [to]),
  ]
  const nodes = model.graph.nodes.flatMap((n) => {
    if (n === reader)
      return [...rounding(name, rounded), { ...n, inputs: n.inputs.map((i) => (i === name ? rounded : i)) }]
    if (reader || !n.outputs.includes(name)) return [n]
    return [{ ...n, outputs: n.outputs.map((o) => (o === name ? rounded : o)) }, ...rounding(rounded, name)]
  })
  return edit.finishWith(nodes)
}
