/**
 * The blocked engine: training graphs in the layout that ONNX Runtime's CPU kernels are fast in.
 *
 * The runtime rearranges weights for its blocked kernels only where they are constant, which in training they are not;
 * but its internal operators load from models and take weights that are already rearranged. So the graph is written in
 * blocked layout, and weights and optimiser state are kept in it between steps.
 */
import { nameSource } from '../graph/build.ts'
import { capturedBy } from '../graph/walk.ts'
import { createEmitter, type Emitter, reshape, type Shape } from '../ops/grad/emit.ts'
import { macroDomain, ruleKey } from '../ops/grad/rule.ts'
import type { TypedGraph } from './backward.ts'
import { handlers } from './blocked/handlers.ts'
import { blockedConv } from './blocked/kernels.ts'
import { blockedDomain, storedWeightShape, weightPacking } from './blocked/layout.ts'
import { createLowering, type Lowering } from './blocked/lowering.ts'
import { type Engine, type Lowered, plainEngine, type StoredParameter, type Trained } from './engine.ts'
import { expandMacro } from './lower-plain.ts'

/** `block`: channels a block, which is the machine's (see `blockSize` in blocked/probe.ts). */
export function blockedEngine(block: number): Engine {
  return {
    id: 'blocked',
    alignment: block,
    lower: (graph, trained, wanted) => lower(graph, trained, { wanted, block }),
    vectorShape: (size) => vectorShape(size, block),
    axpy: (g, a, x, y) => axpy(g, a, [x, y], block),
  }
}

function lower(
  { graph, types }: TypedGraph,
  trained: readonly Trained[],
  { wanted, block }: { wanted: readonly string[]; block: number },
): Lowered {
  const g = createEmitter(types, nameSource(graph))
  const names = new Set(trained.map((t) => t.name))
  const kept = new Set([...wanted, ...trained.map((t) => t.gradient)])
  const l = createLowering({ graph, types }, g, { block, trained: names, wanted: kept })
  const keepName = naming(l)
  for (const node of graph.nodes) {
    if (handlers[ruleKey(node)]?.(l, node)) continue
    const inputs = node.inputs.map((name) => (name ? l.plain(name) : ''))
    for (const name of capturedBy(node)) keepName(name)
    if (node.domain === macroDomain) {
      const results = expandMacro(g, { ...node, inputs })
      results.forEach((value, i) => {
        if (node.outputs[i]) l.setPlain(node.outputs[i], value)
      })
    } else g.nodes.push({ ...node, inputs })
  }
  for (const name of wanted) keepName(name)
  const parameters = trained.map((t) => storeParameter(l, t, block))
  const initializers = new Map([...graph.initializers, ...g.initializers])
  for (const { name } of trained) initializers.delete(name)
  return {
    graph: { ...graph, nodes: g.nodes, initializers },
    types: g.types,
    parameters,
    opsets: [{ domain: blockedDomain, version: 1 }],
  }
}

/** Lets values be had by their own names, in standard layout: for outputs, and for nested graphs, which read them so. */
function naming(l: Lowering): (name: string) => void {
  const done = new Set<string>()
  return (name) => {
    const value = l.plain(name)
    if (value === name || done.has(name)) return
    done.add(name)
    l.g.nodes.push({ op: 'Identity', inputs: [value], outputs: [name], attributes: {} })
  }
}

function storeParameter(l: Lowering, { name, gradient }: Trained, block: number): StoredParameter {
  const shape: Shape = l.shape(name)
  const kind = l.storedKind(name)
  if (!kind) {
    const same = (values: Float32Array): Float32Array => values
    return { name, shape, storedShape: shape, value: name, gradient: l.plain(gradient), pack: same, unpack: same }
  }
  const storedShape = storedWeightShape(shape, kind, block)
  return {
    name,
    shape,
    storedShape,
    value: l.stored(name, kind),
    gradient: l.stored(gradient, kind),
    ...weightPacking(shape, kind, block),
  }
}

/** Vectors of some size are images of B channels, for `axpy`. */
function vectorShape(size: number, block: number): Shape {
  return size % block === 0 && size >= 1 << 14 ? [1, block, size / block, 1] : [size]
}

/** a·x + y in one pass: a depthwise 1x1 convolution of B channels that takes y in as its sum. */
function axpy(g: Emitter, a: string, [x, y]: readonly [string, string], block: number): string {
  if (g.shape(x).length !== 4) return plainEngine.axpy(g, a, x, y)
  const weight = g.op('Expand', [reshape(g, a, [1, 1, 1, 1]), g.ints([block, 1, 1, 1])], { shape: [block, 1, 1, 1] })
  return blockedConv(g, x, weight, { sum: y, group: block })
}
