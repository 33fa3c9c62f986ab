/**
 * From inference form to training form: BatchNormalization with the batch's statistics, Dropout with masks that are
 * fed, the final Softmax taken off (its loss works on logits).
 */
import { UnsupportedError } from '../errors.ts'
import { nameSource } from '../graph/build.ts'
import { finalSoftmax } from '../graph/final-softmax.ts'
import { constantOf, describe, floatAttribute, intAttribute } from '../graph/walk.ts'
import type { Graph, Node, ValueInfo } from '../model.ts'
import type { ValueType } from '../ops/grad/emit.ts'
import { macroDomain } from '../ops/grad/rule.ts'
import { floats } from '../tensor/dtype.ts'
import type { TypedGraph } from './backward.ts'

/** A BatchNormalization's running statistics, and the values of the batch's that feed them. */
export interface RunningStatistics {
  readonly mean: string
  readonly variance: string
  readonly batchMean: string
  readonly batchVariance: string
  /** running = momentum · running + (1 - momentum) · batch */
  readonly momentum: number
  /** Elements that each statistic was taken over. */
  readonly count: number
}

/** A mask to feed: 0 with probability `ratio`, else 1 / (1 - ratio). */
export interface DropoutMask {
  readonly input: string
  readonly shape: readonly number[]
  readonly ratio: number
}

export interface TrainingForm extends TypedGraph {
  readonly statistics: readonly RunningStatistics[]
  readonly masks: readonly DropoutMask[]
}

export interface TrainingFormOptions {
  /** Keeps BatchNormalization at its stored statistics. */
  readonly frozenStatistics?: boolean
}

export function trainingForm({ graph, types }: TypedGraph, options: TrainingFormOptions = {}): TrainingForm {
  const fresh = nameSource(graph)
  const grown = new Map(types)
  const statistics: RunningStatistics[] = []
  const masks: DropoutMask[] = []
  const inputs: ValueInfo[] = [...graph.inputs]
  const typeOf = (name: string): ValueType => grown.get(name) as ValueType
  const batchNorm = (node: Node): Node => {
    const [x, scale, bias, mean, variance] = node.inputs
    const outputs = [node.outputs[0], fresh('batch_mean'), fresh('batch_var')]
    const shape = typeOf(x).shape
    const count = shape.reduce((n, d) => n * d, 1) / shape[1]
    grown.set(outputs[1], typeOf(scale)).set(outputs[2], typeOf(scale))
    const momentum = floatAttribute(node, 'momentum', 0.9)
    statistics.push({ mean, variance, batchMean: outputs[1], batchVariance: outputs[2], momentum, count })
    const epsilon = { type: 'float', value: floatAttribute(node, 'epsilon', 1e-5) } as const
    return {
      ...node,
      op: 'BatchNormTrain',
      domain: macroDomain,
      inputs: [x, scale, bias],
      outputs,
      attributes: { epsilon },
    }
  }
  const dropout = (node: Node): Node => {
    const given = node.inputs[1] ? constantOf(graph, node.inputs[1]) : undefined
    const ratio = given ? floats(given)[0] : 0.5
    const input = fresh('dropout_mask')
    const type = typeOf(node.inputs[0])
    grown.set(input, type)
    inputs.push({ name: input, dtype: type.dtype, shape: type.shape })
    masks.push({ input, shape: type.shape, ratio })
    return { op: 'Mul', inputs: [node.inputs[0], input], outputs: [node.outputs[0]], attributes: {} }
  }
  const nodes = graph.nodes.map((node) => {
    if (node.op === 'BatchNormalization' && !options.frozenStatistics) return batchNorm(node)
    if (node.op === 'Dropout') return dropout(node)
    return node
  })
  return { graph: { ...graph, nodes, inputs }, types: grown, statistics, masks }
}

/**
 * The logits that a specialised graph's probabilities are made of; the output itself, of `rank` axes, where it is no
 * probability. Classes are along the last axis, or along `axis` where the Softmax itself is the output. Throws where a
 * Softmax's classes are along another, since the losses would take another for them.
 */
export function logitsOf(
  graph: Graph,
  output: string,
  { rank, axis = -1 }: { readonly rank: number; readonly axis?: number },
): string {
  const softmax = finalSoftmax(graph, output)
  if (!softmax) return output
  const own = intAttribute(softmax, 'axis', -1)
  const front = (a: number): number => (a < 0 ? a + rank : a)
  if (own === -1 || (softmax.outputs[0] === output && front(own) === front(axis))) return softmax.inputs[0]
  throw new UnsupportedError(
    `${describe(softmax)}: its classes lie along axis ${own}; expected them along ${axis === -1 ? 'the last axis' : `axis ${axis}`}, for a loss on logits`,
  )
}
