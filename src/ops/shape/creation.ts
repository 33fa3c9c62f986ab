/** Shape rules of operators that make tensors from attributes and shapes, and of control flow (If, Loop, Scan). */
import { UnsupportedError } from '../../errors.ts'
import { intAttribute, intsAttribute } from '../../graph/walk.ts'
import type { Dim, Graph } from '../../model.ts'
import { dataTypeOf } from '../../tensor/dtype.ts'
import { since } from '../operator-sets.ts'
import {
  axisOf,
  type Call,
  countOf,
  either,
  fail,
  int64s,
  type Known,
  knownSparse,
  knownTensor,
  multiply,
  numbers,
  type Rule,
  unknownDims,
} from './known.ts'

const constant: Rule = ({ node: { attributes: a } }) => {
  if (a.value?.type === 'tensor') return [knownTensor(a.value.value)]
  if (a.sparse_value?.type === 'sparse-tensor') return [knownSparse(a.sparse_value.value)]
  if (a.value_int?.type === 'int') return [{ dtype: 'int64', shape: [], value: [Number(a.value_int.value)] }]
  if (a.value_ints?.type === 'ints') return [int64s(a.value_ints.value.map(Number))]
  if (a.value_float?.type === 'float') return [{ dtype: 'float32', shape: [], value: [a.value_float.value] }]
  if (a.value_floats?.type === 'floats') {
    const { value } = a.value_floats
    return [{ dtype: 'float32', shape: [value.length], value }]
  }
  if (a.value_string) return [{ dtype: 'string', shape: [] }]
  if (a.value_strings?.type === 'strings') return [{ dtype: 'string', shape: [a.value_strings.value.length] }]
  throw new UnsupportedError(`a constant of ${Object.keys(a).join(', ') || 'no value'}`)
}

const shape: Rule = (call) => {
  const dims = call.in(0).shape
  if (!dims) return [{ dtype: 'int64', shape: [undefined] }]
  const end = call.node.attributes.end ? intAttribute(call.node, 'end', 0) : dims.length
  return [int64s(dims.slice(intAttribute(call.node, 'start', 0), end))]
}

const size: Rule = (call) => {
  const dims = call.in(0).shape
  return [{ dtype: 'int64', shape: [], value: dims && [multiply(dims)] }]
}

const constantOfShape: Rule = (call) => {
  const dims = call.in(0).value
  const tensor = call.node.attributes.value
  const fill: Known = tensor?.type === 'tensor' ? knownTensor(tensor.value) : { dtype: 'float32', value: [0] }
  const count = countOf(dims)
  const value = count !== undefined && count <= 1024 ? new Array<Dim>(count).fill(fill.value?.[0]) : undefined
  const rank = call.in(0).shape?.[0]
  const unknown = typeof rank === 'number' ? unknownDims(rank) : undefined
  return [{ dtype: fill.dtype, shape: dims ?? unknown, value }]
}

const range: Rule = (call) => {
  const [start, limit, delta] = [0, 1, 2].map((i) => numbers(call.in(i))?.[0])
  const { dtype } = call.in(0)
  if (start === undefined || limit === undefined || delta === undefined) return [{ dtype, shape: [undefined] }]
  if (delta === 0) fail('its delta is 0')
  const count = Math.max(0, Math.ceil((limit - start) / delta))
  const value = count <= 1024 ? Array.from({ length: count }, (_, i) => start + i * delta) : undefined
  return [{ dtype, shape: [count], value }]
}

/** The type that attribute `dtype` names, else the input's, else float32. */
function namedType(call: Call): Known['dtype'] {
  return dataTypeOf(intAttribute(call.node, 'dtype', 0)) ?? call.in(0).dtype ?? 'float32'
}

const random: Rule = (call) => {
  const dtype = dataTypeOf(intAttribute(call.node, 'dtype', 1))
  return [{ dtype, shape: intsAttribute(call.node, 'shape') }]
}

const randomLike: Rule = (call) => [{ dtype: namedType(call), shape: call.in(0).shape }]

const nonZero: Rule = (call) => [{ dtype: 'int64', shape: [call.in(0).shape?.length, undefined] }]

function graphOf(call: Call, name: string): Graph {
  const a = call.node.attributes[name]
  return a?.type === 'graph' ? a.value : fail(`its graph "${name}" is missing`)
}

/** Both branches are looked at; where the condition is known, only the one taken counts. */
const branch: Rule = (call) => {
  const taken = call.in(0).value?.[0]
  const [yes, no] = [graphOf(call, 'then_branch'), graphOf(call, 'else_branch')]
  const whenTrue = call.infer(yes, [], taken === 0)
  const whenFalse = call.infer(no, [], taken === 1)
  if (taken === 1) return whenTrue
  if (taken === 0) return whenFalse
  return whenTrue.map((known, i) => either(known, whenFalse[i] ?? {}))
}

/** Infers a body whose state may change shape: what its output does not confirm is forgotten, and it is looked at again. */
function iterate(
  call: Call,
  body: Graph,
  before: readonly Known[],
  state: readonly Known[],
  after: readonly Known[],
  skip: number,
): Known[] {
  const carried = state.map(({ dtype, shape: dims }) => ({ dtype, shape: dims }))
  const first = call.infer(body, [...before, ...carried, ...after], true)
  const settled = carried.map((known, i) => either(known, first[i + skip] ?? {}))
  return call.infer(body, [...before, ...settled, ...after])
}

const loop: Rule = (call) => {
  const body = graphOf(call, 'body')
  const state = call.node.inputs.slice(2).map((_, i) => call.in(i + 2))
  const trip = numbers(call.in(0))?.[0]
  const counters: Known[] = [
    { dtype: 'int64', shape: [] },
    { dtype: 'bool', shape: [] },
  ]
  const out = iterate(call, body, counters, state, [], 1).slice(1)
  return out.map((known, i) => {
    if (i < state.length) return either(known, state[i])
    const fixed = call.has(1) ? undefined : trip
    return { dtype: known.dtype, shape: known.shape && [fixed, ...known.shape] }
  })
}

const scan: Rule = (call) => {
  const body = graphOf(call, 'body')
  const count = intAttribute(call.node, 'num_scan_inputs', 0)
  const states = call.node.inputs.length - count
  if (call.opset < since.scanWithoutBatch) return scanOfBatch(call, body, count)
  if (states < 0) fail(`it scans ${count} inputs of ${call.node.inputs.length}`)
  const axes = intsAttribute(call.node, 'scan_input_axes') ?? []
  const outAxes = intsAttribute(call.node, 'scan_output_axes') ?? []
  let length: Dim
  const slices = call.node.inputs.slice(states).map((_, i): Known => {
    const { dtype, shape: dims } = call.in(states + i)
    const axis = dims && axisOf(axes[i] ?? 0, dims.length)
    if (dims && axis !== undefined) length ??= dims[axis]
    return { dtype, shape: dims?.filter((_d, k) => k !== axis) }
  })
  const state = call.node.inputs.slice(0, states).map((_, i) => call.in(i))
  return iterate(call, body, [], state, slices, 0).map((known, i) => {
    if (i < states || !known.shape) return known
    const axis = axisOf(outAxes[i - states] ?? 0, known.shape.length + 1)
    return { dtype: known.dtype, shape: [...known.shape.slice(0, axis), length, ...known.shape.slice(axis)] }
  })
}

/** As it was at first: an optional list of lengths first, everything with a batch axis, scanned along the one after it. */
function scanOfBatch(call: Call, body: Graph, count: number): Known[] {
  const states = call.node.inputs.length - 1 - count
  if (states < 0) fail(`it scans ${count} inputs of ${call.node.inputs.length - 1}`)
  const given = call.node.inputs.slice(1).map((_, i) => call.in(i + 1))
  const [batch, length] = given.find((k) => k.shape)?.shape ? [given[0].shape?.[0], given.at(-1)?.shape?.[1]] : []
  const inner = given.map(({ dtype, shape: dims }, i) => ({ dtype, shape: dims?.slice(i < states ? 1 : 2) }))
  return iterate(call, body, [], inner.slice(0, states), inner.slice(states), 0).map(({ dtype, shape: dims }, i) => ({
    dtype,
    shape: dims && [batch, ...(i < states ? [] : [length]), ...dims],
  }))
}

const hannLike: Rule = (call) => [
  { dtype: dataTypeOf(intAttribute(call.node, 'output_datatype', 1)), shape: [call.in(0).value?.[0]] },
]

export const creation: Record<string, Rule> = {
  Constant: constant,
  Shape: shape,
  Size: size,
  ConstantOfShape: constantOfShape,
  Range: range,
  RandomNormal: random,
  RandomUniform: random,
  RandomNormalLike: randomLike,
  RandomUniformLike: randomLike,
  Bernoulli: randomLike,
  EyeLike: randomLike,
  Multinomial: (call) => [
    {
      dtype: dataTypeOf(intAttribute(call.node, 'dtype', 6)),
      shape: [call.in(0).shape?.[0], intAttribute(call.node, 'sample_size', 1)],
    },
  ],
  NonZero: nonZero,
  NonMaxSuppression: () => [{ dtype: 'int64', shape: [undefined, 3] }],
  HannWindow: hannLike,
  HammingWindow: hannLike,
  BlackmanWindow: hannLike,
  If: branch,
  Loop: loop,
  Scan: scan,
}
