/** Whether a graph ends in probabilities. */
import type { Graph, Node } from '../model.ts'
import { producersOf } from './walk.ts'

/** Operators that give their elements on as they are, in the same order. */
const passing = new Set(['Identity', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'])

/**
 * The Softmax that a graph's output comes from, reshaped at most: then the output holds probabilities. Undefined where
 * it ends otherwise.
 */
export function finalSoftmax(graph: Graph, output: string): Node | undefined {
  return finalNode(graph, output, 'Softmax')
}

/** The same for a Sigmoid: then each value of the output is a probability. */
export function finalSigmoid(graph: Graph, output: string): Node | undefined {
  return finalNode(graph, output, 'Sigmoid')
}

function finalNode(graph: Graph, output: string, op: string): Node | undefined {
  const producers = producersOf(graph)
  let node = producers.get(output)
  while (node && passing.has(node.op)) node = producers.get(node.inputs[0])
  return node?.op === op ? node : undefined
}
