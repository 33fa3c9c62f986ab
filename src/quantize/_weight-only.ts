/**
 * int8 weights, float arithmetic: each weight is stored as int8 and a DequantizeLinear gives it back under its own name,
 * so that nothing that reads it changes. Works wherever a weight is stored, and in every float type.
 */

import { node } from '../graph/build.ts'
import { nodeName } from '../graph/walk.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import type { Model, Node } from '../model.ts'
import { computeConstants, type Form } from '../simplify/compute-constants.ts'
import { dataTypes, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { quantizeWeight } from './_qdq.ts'

/** Below this many elements the scales and the extra node take more bytes than they save. */
const minElements = 64

export function quantizeWeightsOnly(model: Model, { excludeNodes }: { excludeNodes: readonly string[] }): Model {
  const kept = new Set(excludeNodes)
  const chosen = weightTensors(model).filter(
    ({ tensor, uses }) => sizeOf(tensor.dims) >= minElements && !uses.some((u) => kept.has(nodeName(u.node))),
  )
  return computeConstants(model, new Map(chosen.map((w) => [w.tensor, formOf(w)])))
}

/** Scales are float32 in every model: operator sets before 19 know no others. */
function formOf({ tensor, outputAxis }: WeightTensor): Form {
  return (name, fresh) => {
    const { values, scales } = quantizeWeight(tensor, { axis: outputAxis })
    const integers = integerTensor(fresh(`${name}_quantized`), 'int8', tensor.dims, values)
    const scale = floatTensor(fresh(`${name}_scale`), outputAxis === undefined ? [] : [scales.length], scales)
    const axis = outputAxis === undefined ? {} : { axis: outputAxis }
    const isFloat32 = tensor.dtype === 'float32'
    const result = isFloat32 ? name : fresh(`${name}_dequantized`)
    const nodes: Node[] = [node('DequantizeLinear', [integers.name, scale.name], [result], axis)]
    if (!isFloat32) nodes.push(node('Cast', [result], [name], { to: dataTypes[tensor.dtype].code }))
    return { tensors: [integers, scale], nodes }
  }
}
