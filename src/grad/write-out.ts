/** The form of a graph that backward rules know: composite operators written out, recurrent layers with every state. */
import type { Node } from '../model.ts'
import { compositions } from '../ops/grad/composite.ts'
import type { Emitter } from '../ops/grad/emit.ts'
import { ruleKey } from '../ops/grad/rule.ts'
import type { TypedGraph } from './backward.ts'
import { type Expansion, expandNodes } from './lower-plain.ts'

/** Graphs without such operators come back as they are. */
export function writeOut(source: TypedGraph): TypedGraph {
  if (!source.graph.nodes.some(expansionOf)) return source
  return expandNodes(source, expansionOf)
}

function expansionOf(node: Node): Expansion | undefined {
  const composition = compositions[ruleKey(node)]
  if (composition) return composition
  return ['RNN', 'GRU', 'LSTM'].includes(node.op) && !node.domain && !node.outputs[0] ? withStates : undefined
}

/** Rules of recurrent layers need the states of all steps, also where the model only reads the last. */
function withStates(g: Emitter, node: Node): readonly string[] {
  const [x, , r] = node.inputs
  const [steps, batch] = g.shape(x)
  const [directions, , hidden] = g.shape(r)
  const dtype = g.dtype(x)
  const last = { dtype, shape: [directions, batch, hidden] }
  const types = [{ dtype, shape: [steps, directions, batch, hidden] }, ...node.outputs.slice(1).map(() => last)]
  return g.ops(node.op, node.inputs, types, { attributes: node.attributes })
}
