/**
 * What the weights make of an output, apart from what goes in: of `next = state + 0.01 · net(state)` nearly all that varies is the
 * state, and a network of zeros would lose nothing that shows. What the same model gives with zeros for weights is what goes in
 * by itself, however it gets there; the rest is judged as well.
 */
import { capturedBy, constantOf, graphsOf } from '../graph/walk.ts'
import { replaceTensors, type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Graph, Model, Node, Tensor } from '../model.ts'
import { integers } from '../tensor/dtype.ts'
import type { BatchOutput } from './samples.ts'

/**
 * The model with zeros for weights; undefined where no input reaches an output but through weights, so that nothing would vary, and
 * where loops end by what is computed, which may then be never.
 */
export function withoutWeights(model: Model): Model | undefined {
  const weights = weightTensors(model)
  if (weights.length === 0 || !isPassedBy(model, weights) || mayNotEnd(model)) return undefined
  // All zeros are views of the same bytes, so that they take no room.
  const zeros = new Uint8Array(Math.max(...weights.map(({ tensor }) => tensor.data.byteLength)))
  return replaceTensors(
    model,
    new Map(
      weights.map(({ tensor }): [Tensor, Tensor] => [
        tensor,
        { ...tensor, data: zeros.subarray(0, tensor.data.byteLength) },
      ]),
    ),
  )
}

/** Layers that give zeros where their weights are zeros, by their inputs that come to nothing. */
const stopping: Readonly<Record<string, readonly number[]>> = {
  MatMul: [0, 1],
  Gemm: [0, 1],
  Conv: [0],
  ConvTranspose: [0],
  Gather: [1],
}

/** Whether some input may reach an output around the weights. */
function isPassedBy({ graph }: Model, weights: readonly WeightTensor[]): boolean {
  const layers = new Set(weights.flatMap(({ uses }) => uses.map((use) => use.node)))
  const reached = new Set(graph.inputs.map(({ name }) => name).filter((name) => !graph.initializers.has(name)))
  for (const node of graph.nodes) {
    const stopped = layers.has(node) ? (stopping[node.op] ?? []) : []
    const passing = [...node.inputs.filter((_, i) => !stopped.includes(i)), ...capturedBy(node)]
    if (passing.some((name) => reached.has(name))) for (const name of node.outputs) reached.add(name)
  }
  return graph.outputs.some(({ name }) => reached.has(name))
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
