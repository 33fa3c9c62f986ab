/**
 * A model for one input size: every shape a number, shape arithmetic folded into constants, operators in the one form
 * that backward rules know.
 */
import { UnsupportedError } from '../errors.ts'
import { node as makeNode, nameSource } from '../graph/build.ts'
import { constantsOf } from '../graph/constants.ts'
import { describe, intAttribute } from '../graph/walk.ts'
import { type Model, type Node, type Tensor, withGraph } from '../model.ts'
import type { ValueType } from '../ops/grad/emit.ts'
import { inferShapes, type Known, type Shapes } from '../ops/shape.ts'
import { inlineBranches } from '../simplify/inline-branches.ts'
import { inlined } from '../simplify/inline-functions.ts'
import { upgradeOpset } from '../simplify/upgrade.ts'
import { floatTensor, integerTensor, isFloat } from '../tensor/dtype.ts'
import type { TypedGraph } from './backward.ts'

/** The operator set whose forms the backward rules know. Newer models are left as they are. */
export const trainingOpset = 20

/**
 * `inputShapes` gives the whole shape of each input, batch axis included. What follows from stored tensors alone becomes one,
 * but not what follows from weights, nor from those that are named as `trained`.
 * Throws an UnsupportedError that names the first node whose shape stays unknown.
 */
export function specialize(
  model: Model,
  inputShapes: Readonly<Record<string, readonly number[]>>,
  trained: readonly string[] = [],
): TypedGraph & { readonly model: Model } {
  checked(inferShapes(model, { inputShapes }))
  const { modern, known } = withoutBranches(
    constantsAsInitializers(upgradeOpset(inlined(model), trainingOpset)),
    inputShapes,
  )
  const values = new Map(known)
  const initializers = new Map<string, Tensor>(modern.graph.initializers)
  const nodes: Node[] = []
  const fresh = nameSource(modern.graph)
  // What follows from a weight changes as it is trained, however small it is, and of whatever type (which weights are large); but
  // not its shape.
  const isWeight = ({ dims, dtype }: Tensor): boolean => dims.length > 1 && isFloat(dtype)
  const weights = new Set([...initializers.values()].filter(isWeight).map((t) => t.name))
  for (const name of trained) weights.add(name)
  // So does a codebook that it is looked up in.
  for (const c of constantsOf(modern)) if (c.role === 'factor' && c.tensor.dims.length > 0) weights.add(c.name)
  for (const node of modern.graph.nodes) {
    if (!readsShape(node) && node.inputs.some((name) => weights.has(name)))
      for (const name of node.outputs) weights.add(name)
    const folded = node.outputs.map((name) => (weights.has(name) ? undefined : constantFrom(name, values.get(name))))
    if (folded.length > 0 && folded.every((t) => t !== undefined)) {
      for (const tensor of folded) initializers.set(tensor.name, tensor)
    } else if (node.op === 'Softmax') nodes.push(...softmaxOfRows(node, { values, initializers, fresh }))
    else nodes.push(node)
  }
  const types = new Map<string, ValueType>()
  for (const [name, tensor] of initializers) types.set(name, { dtype: tensor.dtype, shape: tensor.dims })
  for (const input of modern.graph.inputs) setType(types, input.name, values.get(input.name))
  for (const node of nodes) {
    for (const name of node.outputs) {
      if (name && !setType(types, name, values.get(name)))
        throw new UnsupportedError(`${describe(node)}: the shape of "${name}" is not known before it runs`)
    }
  }
  const used = new Set(nodes.flatMap((n) => n.inputs))
  for (const output of modern.graph.outputs) used.add(output.name)
  for (const name of initializers.keys()) if (!used.has(name)) initializers.delete(name)
  const { graph } = withGraph(modern, { nodes, initializers })
  return { graph, types, model: { ...modern, graph } }
}

const readsShape = ({ op }: Node): boolean => op === 'Shape' || op === 'Size'

/** Which branch an If takes often follows from shapes; then only that branch is left. */
function withoutBranches(
  start: Model,
  inputShapes: Readonly<Record<string, readonly number[]>>,
): { modern: Model; known: Shapes['values'] } {
  let modern = start
  for (;;) {
    const known = checked(inferShapes(modern, { inputShapes })).values
    const next = inlineBranches(modern, (name) => {
      const value = known.get(name)?.value?.[0]
      return typeof value === 'number' ? value !== 0 : undefined
    })
    if (next === modern) return { modern, known }
    modern = constantsAsInitializers(next)
  }
}

interface Growing {
  readonly values: Map<string, Known>
  readonly initializers: Map<string, Tensor>
  fresh(base: string): string
}

/**
 * A Softmax over the last axis, by which its logits are known (`logitsOf`), where that is the same: where all axes behind
 * its own have one element, it is taken of rows [.., classes].
 */
function softmaxOfRows(node: Node, { values, initializers, fresh }: Growing): Node[] {
  const known = values.get(node.inputs[0])
  if (!known?.shape?.every((d) => typeof d === 'number')) return [node]
  const shape = known.shape as number[]
  const axis = intAttribute(node, 'axis', -1)
  const at = axis < 0 ? axis + shape.length : axis
  if (shape.slice(at + 1).some((d) => d !== 1)) return [node]
  const last: Node = { ...node, attributes: { ...node.attributes, axis: { type: 'int', value: -1 } } }
  if (at === shape.length - 1) return [last]
  const [y] = node.outputs
  const reshaped = (from: string, to: string, dims: readonly number[]): Node => {
    const size = fresh(`${to}_shape`)
    initializers.set(size, integerTensor(size, 'int64', [dims.length], dims))
    return makeNode('Reshape', [from, size], [to])
  }
  const [logits, rows] = [fresh(`${y}_logits`), fresh(`${y}_rows`)]
  for (const name of [logits, rows]) values.set(name, { dtype: known.dtype, shape: shape.slice(0, at + 1) })
  return [
    reshaped(node.inputs[0], logits, shape.slice(0, at + 1)),
    { ...last, inputs: [logits], outputs: [rows] },
    reshaped(rows, y, shape),
  ]
}

function constantsAsInitializers(model: Model): Model {
  const initializers = new Map(model.graph.initializers)
  const nodes = model.graph.nodes.filter(({ op, attributes: { value }, outputs: [name] }) => {
    if (op !== 'Constant' || value?.type !== 'tensor') return true
    initializers.set(name, { ...value.value, name })
    return false
  })
  return withGraph(model, { nodes, initializers })
}

function checked(shapes: Shapes): Shapes {
  if (shapes.problems.length > 0) throw new Error(shapes.problems[0])
  return shapes
}

function setType(types: Map<string, ValueType>, name: string, known: Known | undefined): boolean {
  if (!known?.dtype || !known.shape?.every((d) => typeof d === 'number')) return false
  types.set(name, { dtype: known.dtype, shape: known.shape as number[] })
  return true
}

/** A small value that follows from constants and shapes alone, as a tensor. */
function constantFrom(name: string, known: Known | undefined): Tensor | undefined {
  if (!name || !known?.dtype || !known.value?.every((v) => typeof v === 'number')) return undefined
  const dims = known.shape as number[]
  const values = known.value as number[]
  if (known.dtype === 'float32') return floatTensor(name, dims, values)
  if (known.dtype === 'int64' || known.dtype === 'int32' || known.dtype === 'bool')
    return integerTensor(name, known.dtype, dims, values)
  return undefined
}
