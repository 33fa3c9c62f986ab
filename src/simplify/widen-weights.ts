/**
 * Weights of float16, bfloat16 and float64 stored as float32 behind a Cast, so that whatever works on float32 weights
 * works on them, and back again. Runtimes fold the Cast when they load the model.
 */

import { editGraph } from '../graph/edit.ts'
import { consumersOf, intAttribute } from '../graph/walk.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Model } from '../model.ts'
import { dataTypeOf, floats, tensorOfFloats } from '../tensor/dtype.ts'
import { castForm, computeConstants } from './compute-constants.ts'

/** Stores the wanted weights as float32: exactly those of 16 bits, rounded those of float64. */
export function widenWeights(model: Model, wanted: (weight: WeightTensor) => boolean): Model {
  const chosen = weightTensors(model).filter((w) => w.tensor.dtype !== 'float32' && wanted(w))
  return computeConstants(model, new Map(chosen.map(({ tensor }) => [tensor, castForm(tensor, 'float32')])))
}

/** float32 initialisers that are only read after a Cast to 16 bits, stored in that type. What is computed stays the same. */
export function narrowWeights(model: Model): Model {
  const { graph } = model
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const edit = editGraph(model)
  for (const [name, tensor] of graph.initializers) {
    const [cast, ...others] = consumers.get(name) ?? []
    if (tensor.dtype !== 'float32' || cast?.op !== 'Cast' || others.length > 0 || outputs.has(cast.outputs[0])) continue
    const to = dataTypeOf(intAttribute(cast, 'to', 0))
    if (to !== 'float16' && to !== 'bfloat16') continue
    edit.store(tensorOfFloats(cast.outputs[0], to, tensor.dims, floats(tensor)), name)
    edit.replace(cast)
  }
  return edit.finish()
}
