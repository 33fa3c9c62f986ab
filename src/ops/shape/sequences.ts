/** Shape rules of sequences and optionals: what is known of their elements. */
import { intAttribute } from '../../graph/walk.ts'
import { dataTypeOf } from '../../tensor/dtype.ts'
import { axisOf, type Call, either, type Known, numbers, type Rule } from './known.ts'

const int64: Known = { dtype: 'int64', shape: [] }

/** What is known of each of some values. */
function allOf(values: readonly Known[]): Known {
  return values.length === 0 ? {} : values.reduce(either)
}

function inputsOf(call: Call): Known[] {
  return call.node.inputs.map((_, i) => call.in(i))
}

/** A sequence with one more tensor: of an empty one nothing was known but its type. */
const insert: Rule = (call) => {
  const { element } = call.in(0)
  return [{ element: element ? either(element, call.in(1)) : undefined }]
}

const splitTo: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  if (!shape) return [{ element: { dtype } }]
  const axis = axisOf(intAttribute(call.node, 'axis', 0), shape.length)
  if (!call.has(1)) {
    const keep = intAttribute(call.node, 'keepdims', 1) === 1
    return [{ element: { dtype, shape: shape.flatMap((d, i) => (i !== axis ? [d] : keep ? [1] : [])) } }]
  }
  const sizes = numbers(call.in(1))
  const size = shape[axis]
  // Parts of one size, but for the last, unless sizes are listed.
  const even = sizes?.length === 1 && typeof size === 'number' && size % sizes[0] === 0
  const same = sizes && (call.in(1).shape?.length === 0 ? even : sizes.every((s) => s === sizes[0]))
  return [{ element: { dtype, shape: shape.map((d, i) => (i !== axis ? d : same ? sizes[0] : undefined)) } }]
}

const concatFrom: Rule = (call) => {
  const { dtype, shape } = call.in(0).element ?? {}
  if (!shape) return [{ dtype }]
  const added = intAttribute(call.node, 'new_axis', 0) === 1
  const axis = axisOf(intAttribute(call.node, 'axis', 0), shape.length + (added ? 1 : 0))
  return [{ dtype, shape: [...shape.slice(0, axis), undefined, ...shape.slice(added ? axis : axis + 1)] }]
}

/** The body sees an element of each sequence. */
const map: Rule = (call) => {
  const body = call.node.attributes.body
  if (body?.type !== 'graph') return []
  const seen = inputsOf(call).map((known, i) => (i === 0 ? (known.element ?? {}) : (known.element ?? known)))
  return call.infer(body.value, seen).map((element) => ({ element: { dtype: element.dtype, shape: element.shape } }))
}

export const sequences: Record<string, Rule> = {
  SequenceEmpty: (call) => [{ element: { dtype: dataTypeOf(intAttribute(call.node, 'dtype', 1)) } }],
  SequenceConstruct: (call) => [{ element: allOf(inputsOf(call)) }],
  SequenceInsert: insert,
  SequenceErase: (call) => [{ element: call.in(0).element }],
  SequenceAt: (call) => [call.in(0).element ?? {}],
  SequenceLength: () => [int64],
  SequenceMap: map,
  SplitToSequence: splitTo,
  ConcatFromSequence: concatFrom,
  Optional: (call) => [call.has(0) ? { element: call.in(0) } : {}],
  // Since 18 what is no optional comes through as it is.
  OptionalGetElement: (call) => [call.in(0).element ?? call.in(0)],
  OptionalHasElement: () => [{ dtype: 'bool', shape: [] }],
}
