/**
 * Weights of float16, bfloat16 and float64 stored as float32 behind a Cast, so that whatever works on float32 weights
 * works on them, and back again. Runtimes fold the Cast when they load the model.
 */

import { node } from '../graph/build.ts'
import { withOrigins } from '../graph/edit.ts'
import { consumersOf, intAttribute } from '../graph/walk.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import { type Model, type Tensor, withGraph } from '../model.ts'
import { type DataType, dataTypeOf, dataTypes, floats, floatTensor, tensorOfFloats } from '../tensor/dtype.ts'
import { computeConstants, type Form } from './compute-constants.ts'

/** Stores the wanted weights as float32: exactly those of 16 bits, rounded those of float64. */
export function widenWeights(model: Model, wanted: (weight: WeightTensor) => boolean): Model {
  const chosen = weightTensors(model).filter((w) => w.tensor.dtype !== 'float32' && wanted(w))
  return computeConstants(model, new Map(chosen.map(({ tensor }) => [tensor, wideForm(tensor)])))
}

function wideForm(tensor: Tensor): Form {
  return (name, fresh) => {
    const wide = floatTensor(fresh(`${name}_float32`), tensor.dims, floats(tensor))
    return { tensors: [wide], nodes: [node('Cast', [wide.name], [name], { to: dataTypes[tensor.dtype].code })] }
  }
}

/** float32 initialisers that are only read after a Cast to 16 bits, stored in that type. What is computed stays the same. */
export function narrowWeights(model: Model): Model {
  const { graph } = model
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const narrowed = new Map<string, { name: string; dtype: DataType }>()
  for (const name of graph.initializers.keys()) {
    const [cast, ...others] = consumers.get(name) ?? []
    const to = cast?.op === 'Cast' && others.length === 0 ? dataTypeOf(intAttribute(cast, 'to', 0)) : undefined
    if ((to === 'float16' || to === 'bfloat16') && !outputs.has(cast.outputs[0]))
      narrowed.set(name, { name: cast.outputs[0], dtype: to })
  }
  const isWide = ([name, { dtype }]: readonly [string, Tensor]): boolean => dtype === 'float32' && narrowed.has(name)
  const entries = [...graph.initializers]
  if (!entries.some(isWide)) return model
  /** By the name of a narrow tensor, that of its wide form. */
  const origins = new Map<string, string>()
  const initializers = entries.map((entry): readonly [string, Tensor] => {
    const to = isWide(entry) ? narrowed.get(entry[0]) : undefined
    if (!to) return entry
    origins.set(to.name, entry[0])
    return [to.name, tensorOfFloats(to.name, to.dtype, entry[1].dims, floats(entry[1]))]
  })
  const narrow = withGraph(model, {
    nodes: graph.nodes.filter((n) => !origins.has(n.outputs[0])),
    initializers: new Map(initializers),
    inputs: graph.inputs.filter((i) => !narrowed.has(i.name)),
  })
  return withOrigins(narrow, origins)
}
