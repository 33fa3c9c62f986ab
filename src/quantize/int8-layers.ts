/** What is known of a model's layers on integers: their names, which stay in float, the noise that each adds, and which of the runtime's kernels it uses. */
import type { DataHandle } from '../data/handle.ts'
import { stopIfAborted } from '../errors.ts'
import { intAttribute, producersOf } from '../graph/walk.ts'
import type { Context, Feeds } from '../method.ts'
import type { Graph, Model, Node } from '../model.ts'
import { macsOf } from '../ops/cost.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession } from '../runtime/session.ts'
import { nodeName, planInt8 } from './_plan.ts'
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

/** Every quantisable layer of a prepared model, the one that adds most noise for what its integers save first. */
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
