/**
 * Training that starts anew on the surviving connections (Paupamah, James, Klein 2020): every weight that is not zero is
 * drawn from U(±1/√fanIn), biases become 0, and normalisations start at scale 1, mean 0 and variance 1.
 */

import { constantOf } from '../graph/walk.ts'
import { replaceTensors, weightTensors } from '../graph/weights.ts'
import type { Model, Tensor } from '../model.ts'
import { floats, isFloat, sizeOf, tensorOfFloats } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'

/** The same seed gives the same weights. Zeros stay. */
export function restartUniform(model: Model, seed: number): Model {
  const rng = random(seed)
  const replaced = new Map<Tensor, Tensor>()
  for (const { tensor, outputAxis = 0 } of weightTensors(model)) {
    if (!isFloat(tensor.dtype)) continue
    const fanIn = sizeOf(tensor.dims) / tensor.dims[outputAxis]
    const bound = 1 / Math.sqrt(fanIn)
    const values = floats(tensor).map((v) => {
      const drawn = bound * (2 * rng.next() - 1)
      // A drawn zero would join the mask.
      return v === 0 ? 0 : drawn || bound
    })
    replaced.set(tensor, tensorOfFloats(tensor.name, tensor.dtype, tensor.dims, values))
  }
  const fill = (name: string | undefined, value: number): void => {
    const tensor = name ? constantOf(model.graph, name) : undefined
    if (!tensor || !isFloat(tensor.dtype) || replaced.has(tensor)) return
    const values = new Float32Array(sizeOf(tensor.dims)).fill(value)
    replaced.set(tensor, tensorOfFloats(tensor.name, tensor.dtype, tensor.dims, values))
  }
  const products = new Set(model.graph.nodes.flatMap((n) => (n.op === 'MatMul' ? n.outputs : [])))
  for (const { op, inputs } of model.graph.nodes) {
    if (op === 'Conv' || op === 'ConvTranspose' || op === 'Gemm') fill(inputs[2], 0)
    if (op === 'LSTM' || op === 'GRU' || op === 'RNN') fill(inputs[3], 0)
    if (op === 'Add' && inputs.some((name) => products.has(name))) for (const name of inputs) fill(name, 0)
    if (op === 'BatchNormalization') for (const [i, value] of [1, 0, 0, 1].entries()) fill(inputs[i + 1], value)
  }
  return replaceTensors(model, replaced)
}
