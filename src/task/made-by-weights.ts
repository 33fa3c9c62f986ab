/**
 * What the weights make of an output, apart from what goes in: of `next = state + 0.01 · net(state)` nearly all that varies is the
 * state, and a network of zeros would lose nothing that shows. What the same model gives with zeros for weights is what goes in
 * by itself, however it gets there; the rest is judged as well.
 */
import { capturedBy, constantOf, graphsOf, producersOf } from '../graph/walk.ts'
import { replaceTensors, type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Graph, Model, Node, Tensor } from '../model.ts'
import { integers } from '../tensor/dtype.ts'
import type { BatchOutput } from './samples.ts'

/**
 * The model with zeros for weights: for all of them, and for those that are on no straight path from an input to an output, on which
 * nothing but weights and sums stands between the first weights and the last (an upsampling by weights, a linear part beside a
 * deep one). None where no input reaches an output so, and nothing would vary, nor where loops end by what is computed,
 * which may then be never.
 */
export function withoutWeights(model: Model): Model[] {
  const weights = weightTensors(model)
  if (weights.length === 0 || mayNotEnd(model)) return []
  const layers = new Set(weights.flatMap(({ uses }) => uses.map((use) => use.node)))
  const straight = onStraightPaths(model.graph, layers)
  const crooked = weights.filter(({ uses }) => !uses.some((use) => straight.has(use.node)))
  const isPartly = crooked.length > 0 && crooked.length < weights.length
  return [
    ...(isPassedBy(model.graph, layers) ? [withZeros(model, weights)] : []),
    ...(isPartly ? [withZeros(model, crooked)] : []),
  ]
}

function withZeros(model: Model, weights: readonly WeightTensor[]): Model {
  // All zeros are views of the same bytes, so that they take no room.
  const zeros = new Uint8Array(Math.max(...weights.map(({ tensor }) => tensor.data.byteLength)))
  const zeroed = ({ tensor }: WeightTensor): [Tensor, Tensor] => [
    tensor,
    { ...tensor, data: zeros.subarray(0, tensor.data.byteLength) },
  ]
  return replaceTensors(model, new Map(weights.map(zeroed)))
}

/** Layers that give zeros where their weights are zeros, by their inputs that come to nothing. */
const stopping: Readonly<Record<string, readonly number[]>> = {
  MatMul: [0, 1],
  Gemm: [0, 1],
  Conv: [0],
  ConvTranspose: [0],
  Gather: [1],
}

function inputsOf(graph: Graph): string[] {
  return graph.inputs.map(({ name }) => name).filter((name) => !graph.initializers.has(name))
}

/** Whether some input may reach an output around the weights. */
function isPassedBy(graph: Graph, layers: ReadonlySet<Node>): boolean {
  const reached = new Set(inputsOf(graph))
  for (const node of graph.nodes) {
    const stopped = layers.has(node) ? (stopping[node.op] ?? []) : []
    const passing = [...node.inputs.filter((_, i) => !stopped.includes(i)), ...capturedBy(node)]
    if (passing.some((name) => reached.has(name))) for (const name of node.outputs) reached.add(name)
  }
  return graph.outputs.some(({ name }) => reached.has(name))
}

/** Operators whose result grows as an input does, the others being as they are. */
const linear = new Set([
  ...[
    'Identity',
    'Cast',
    'Reshape',
    'Flatten',
    'Squeeze',
    'Unsqueeze',
    'Transpose',
    'Expand',
    'Tile',
    'Concat',
    'Slice',
  ],
  ...[
    'Split',
    'Gather',
    'Pad',
    'Resize',
    'Upsample',
    'DepthToSpace',
    'SpaceToDepth',
    'Neg',
    'Add',
    'Sub',
    'Sum',
    'Mean',
  ],
  ...['Mul', 'Div', 'MatMul', 'Gemm', 'Conv', 'ConvTranspose', 'Einsum', 'BatchNormalization', 'AveragePool'],
  ...['GlobalAveragePool', 'ReduceMean', 'ReduceSum', 'Where'],
])
/** Of these, an input's own function may be the other one, as in x · sigmoid(x). */
const products = new Set(['Mul', 'Div', 'Where'])

/** Where a path from an input has come to: to no weights yet, to weights and sums alone, or to what else stands behind those. */
type Stage = 'before' | 'within' | 'behind'

/** The layers on paths from an input to an output, on which nothing but linear operators is between the first weights and the last. */
function onStraightPaths(graph: Graph, layers: ReadonlySet<Node>): Set<Node> {
  const producers = producersOf(graph)
  const keyOf = (name: string, stage: Stage): string => `${stage} ${name}`
  const reached = new Set(inputsOf(graph).map((name) => keyOf(name, 'before')))
  /** For what is reached: from where, and by which node. */
  const from = new Map<string, { readonly key: string; readonly node: Node }[]>()
  const stageBehind = (node: Node, input: string, stage: Stage): Stage | undefined => {
    if (layers.has(node)) return stage === 'behind' || !linear.has(node.op) ? undefined : 'within'
    const isOwn = products.has(node.op) && node.inputs.some((other) => other !== input && makes(input, other))
    const isStraight = linear.has(node.op) && !isOwn && !(node.op === 'Div' && node.inputs[1] === input)
    return stage === 'within' && !isStraight ? 'behind' : stage
  }
  /** Whether one value is a function of another without weights in between. */
  const makes = (value: string, made: string): boolean => {
    const seen = new Set<string>()
    const look = (name: string): boolean => {
      if (name === value) return true
      const node = producers.get(name)
      if (!node || seen.has(name) || layers.has(node)) return false
      seen.add(name)
      return node.inputs.some(look)
    }
    return look(made)
  }
  for (const node of graph.nodes)
    for (const input of node.inputs)
      for (const stage of ['before', 'within', 'behind'] as const) {
        if (!reached.has(keyOf(input, stage))) continue
        const next = stageBehind(node, input, stage)
        if (!next) continue
        for (const output of node.outputs) {
          const key = keyOf(output, next)
          reached.add(key)
          from.set(key, [...(from.get(key) ?? []), { key: keyOf(input, stage), node }])
        }
      }
  const found = new Set<Node>()
  const seen = new Set<string>()
  const open = graph.outputs.flatMap(({ name }) => [keyOf(name, 'within'), keyOf(name, 'behind')])
  for (let key = open.pop(); key !== undefined; key = open.pop()) {
    if (seen.has(key)) continue
    seen.add(key)
    for (const step of from.get(key) ?? []) {
      if (layers.has(step.node)) found.add(step.node)
      open.push(step.key)
    }
  }
  return found
}

/** Differences below so much of a number are rounding. */
const rounding: Readonly<Record<string, number>> = {
  bfloat16: 2 ** -6,
  float16: 2 ** -9,
  float32: 2 ** -20,
  float64: 2 ** -20,
}

/** An output less what the model gives without weights, beyond rounding. `beside`: the original's, where the output is another model's. */
export function apartFrom(out: BatchOutput, given: BatchOutput, dtype: string, beside = out): BatchOutput {
  const share = rounding[dtype] ?? 0
  const data = new Float64Array(out.data.length)
  for (let i = 0; i < data.length; i++) {
    const [expected, base] = [beside.data[i], given.data[i]]
    const least = share * Math.abs(expected)
    const made = Math.abs(expected - base) <= least ? 0 : expected - base
    data[i] = Math.abs(out.data[i] - expected) <= least ? made : made + (out.data[i] - expected)
  }
  return { ...out, data }
}

/** Loops of more steps are meant to end by their condition. */
const mostSteps = 2 ** 20

function mayNotEnd(model: Model): boolean {
  const isOpen = (node: Node, graph: Graph): boolean => {
    if (node.op !== 'Loop') return false
    const steps = node.inputs[0] ? constantOf(graph, node.inputs[0]) : undefined
    return !node.inputs[0] || (steps !== undefined && integers(steps)[0] > mostSteps)
  }
  const functions = (model.functions ?? []).some((fn) => fn.nodes.some((n) => n.op === 'Loop'))
  return functions || [...graphsOf(model)].some((graph) => graph.nodes.some((n) => isOpen(n, graph)))
}
