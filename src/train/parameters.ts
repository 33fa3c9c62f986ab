/** Which stored tensors of a model are trained. */
import { type ConstantUse, constantsOf } from '../graph/constants.ts'
import { parameterPlaces } from '../graph/roles.ts'
import { describe } from '../graph/walk.ts'
import type { Graph, Tensor } from '../model.ts'
import { isDifferentiable } from '../ops/grad.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'
import { isUniform } from './own-copies.ts'

/**
 * The float32 initialisers that are weights: what layers and normalisations multiply with or add, directly or through
 * what computes with constants alone (reshapes, codebooks, quantisers, sums); and what is added to what a layer makes.
 */
export function trainableNames(graph: Graph): string[] {
  const trained = new Set(
    constantsOf({ graph }).flatMap((c) => {
      const isInitializer = c.graph === graph && !c.constant && graph.initializers.has(c.name)
      if (!isInitializer || c.tensor.dtype !== 'float32' || c.tensor.dims.length === 0 || isMask(c.tensor)) return []
      // Of one value: a bias or a slope is a weight; a factor on the way is part of the arithmetic.
      const single = sizeOf(c.tensor.dims) === 1
      return c.uses.some((u) => isTrained(u, c.tensor) && (!single || isOwn(u))) ? [c.name] : []
    }),
  )
  return [...graph.initializers.keys()].filter((name) => trained.has(name))
}

function isTrained({ node, input, role, afterLayer }: ConstantUse, tensor: Tensor): boolean {
  if (!isDifferentiable(node)) return false
  if (role === 'bias' || role === 'norm' || role === 'factor') return true
  if (role === 'weight' && parameterPlaces(node).includes(input)) return true
  if (!afterLayer) return false
  // Of what a layer makes: positions that are added, scales of channels, a token that is put before the others.
  if (node.op === 'Add') return role === 'weight'
  // Zeros that pad and factors that are one number belong to the arithmetic.
  return (node.op === 'Mul' || node.op === 'Concat') && !isUniform(tensor)
}

/** Whether it shuts places out of a softmax that it is added before: no learnt number is so far below zero. */
function isMask(tensor: Tensor): boolean {
  return tensor.dims.length > 1 && floats(tensor).some((v) => v <= -1e4)
}

/** Whether the node reads it as it is stored, at a place of its own for parameters. */
function isOwn({ node, input, direct }: ConstantUse): boolean {
  return direct && parameterPlaces(node).includes(input)
}

/** Constants that layers multiply with although nothing in them is among `trained`: they stay as they are. */
export function untrainedWeights(graph: Graph, trained: readonly string[]): string[] {
  const constant = constantValues(graph)
  const moved = new Set(trained)
  for (const n of graph.nodes) if (n.inputs.some((i) => moved.has(i))) for (const o of n.outputs) moved.add(o)
  const names = graph.nodes.flatMap((n) => {
    if (constant.has(n.outputs[0])) return []
    const weights = parameterPlaces(n)
      .map((i) => n.inputs[i])
      .filter((name) => name && constant.has(name))
    return weights.filter((name) => !moved.has(name))
  })
  return [...new Set(names)]
}

/** Why no step changes a weight that `untrainedWeights` names, to end a sentence: "is of int8". */
export function whyUntrained(graph: Graph, name: string): string {
  const [tensor, made] = [graph.initializers.get(name), graph.nodes.find((n) => n.outputs.includes(name))]
  if (made && !tensor) return `is computed from constants (${made.op}) of which none is trained`
  if (tensor && tensor.dtype !== 'float32') return `is of ${tensor.dtype}`
  const reader = graph.nodes.find((n) => n.inputs.includes(name) && !isDifferentiable(n))
  return reader ? `is read by ${describe(reader)}, which has no gradient` : 'does not change the loss'
}

/** Values that follow from initialisers alone. */
function constantValues(graph: Graph): Set<string> {
  const constant = new Set(graph.initializers.keys())
  for (const n of graph.nodes) {
    if (n.inputs.every((i) => !i || constant.has(i))) for (const o of n.outputs) constant.add(o)
  }
  return constant
}
