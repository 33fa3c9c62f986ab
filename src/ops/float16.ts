/**
 * Which operators ONNX does not define for float16, as a whole or in some of their inputs. Source: the type constraints of
 * onnx/docs/Changelog.md, operator sets 7 and up; an operator that got float16 in a later set is listed all the same.
 */
import type { Node } from '../model.ts'

/** Operators that take or give float32 and never float16, in some operator set. */
const float32Only = new Set(
  'Celu CumSum DequantizeLinear DynamicQuantizeLinear IsInf NonMaxSuppression QLinearConv QLinearMatMul QuantizeLinear Range TfIdfVectorizer'.split(
    ' ',
  ),
)

/** Whether a node of ONNX's own domain has to compute in float32. */
export function needsFloat32({ op, outputs, attributes }: Node): boolean {
  // The mean and deviation of LayerNormalization are of the type that sums are kept in; a float of a Constant is float32.
  if (op === 'LayerNormalization') return outputs.slice(1).some((name) => name !== '')
  if (op === 'Constant') return attributes.value === undefined
  return float32Only.has(op)
}

/** The inputs that stay float32 where the others are float16. */
export function inputsOfFloat32({ op, inputs }: Node): ReadonlySet<number> {
  if (op === 'Upsample') return new Set([1])
  // The scales; in set 10 they are the second of two inputs.
  if (op === 'Resize') return new Set([inputs.length === 2 ? 1 : 2])
  return new Set()
}
