/** Couplings of layers: products with stored tensors, products of two values, recurrent layers, attention. */
import { intAttribute, intsAttribute, stringAttribute } from '../../graph/walk.ts'
import { parseEquation } from '../einsum.ts'
import {
  type Axis,
  axesBelow,
  type Coupling,
  type CouplingContext,
  type Cut,
  countKept,
  type Mix,
  type Row,
  range,
  rankOf,
  same,
  sizeAt,
  type Tie,
} from './types.ts'

/** Channels at the same place of each group go together, so that groups stay of one size. */
function alikeInGroups(axis: Axis, count: number, groups: number): NonNullable<Coupling['alike']>[number] {
  return { axis, as: range(count, (k) => k % (count / groups)) }
}

export const convolution: Row = (node, context) => {
  const [input, weight, bias] = node.inputs
  const [read, made] = [
    { value: input, axis: 1 },
    { value: node.outputs[0], axis: 1 },
  ]
  const [channels, count] = [sizeAt(context, read), sizeAt(context, made)]
  const w = context.constant(weight)
  if (!w || !channels || !count || (bias && !context.constant(bias))) return undefined
  const groups = intAttribute(node, 'group', 1)
  if (channels % groups !== 0 || count % groups !== 0) return undefined
  const isTransposed = node.op === 'ConvTranspose'
  const batch = same(context, { value: input, axis: 0 }, { value: node.outputs[0], axis: 0 })
  const biasCuts = bias ? [{ at: 2, axis: 0, follows: made }] : []
  // Depthwise: each channel in makes its own channels out.
  if (groups > 1 && groups === channels) {
    const each = count / groups
    const tie = { input: read, output: made, ...(each > 1 ? { from: range(count, (k) => Math.floor(k / each)) } : {}) }
    return {
      ties: [tie, ...batch],
      cuts: [{ at: 1, axis: 0, follows: isTransposed ? read : made }, ...biasCuts],
      adjust: (kept) => ({ attributes: { group: { type: 'int', value: countKept(context, kept, read) } } }),
    }
  }
  const [inputAxis, outputAxis] = isTransposed ? [0, 1] : [1, 0]
  const grouped = groups > 1 ? { groups } : {}
  const [inputGroups, outputGroups] = isTransposed ? [{}, grouped] : [grouped, {}]
  return {
    ties: batch,
    cuts: [
      { at: 1, axis: outputAxis, follows: made, ...outputGroups },
      ...biasCuts,
      { at: 1, axis: inputAxis, follows: read, ...inputGroups },
    ],
    mix: {
      at: 1,
      input: read,
      output: made,
      inputAxis,
      outputAxis,
      ...grouped,
      ...(groups > 1 && isTransposed ? { perGroup: 'outputs' } : {}),
    },
    ...(groups > 1 ? { alike: [alikeInGroups(read, channels, groups), alikeInGroups(made, count, groups)] } : {}),
  }
}

/** A matrix product's operands: the axes of rows, of what is summed, and of columns. */
interface Product {
  readonly rows: Axis
  readonly summed: readonly [Axis, Axis]
  readonly columns: Axis
  readonly madeRows: Axis
  readonly madeColumns: Axis
}

/** Ties and cuts of a product of two operands of which at least one is a value. */
function product(context: CouplingContext, { rows, summed, columns, madeRows, madeColumns }: Product): Coupling {
  const [a, b] = summed
  const isStored = [a, b].map(({ value }) => context.constant(value) !== undefined)
  if (!isStored[0] && !isStored[1])
    return {
      ties: [...same(context, rows, madeRows), ...same(context, columns, madeColumns)],
      cuts: [],
      contracts: [[a, b]],
    }
  const at = isStored[0] ? 0 : 1
  const [inner, outer, read, made] = isStored[0] ? [a, rows, b, madeRows] : [b, columns, a, madeColumns]
  const passing = isStored[0] ? same(context, columns, madeColumns) : same(context, rows, madeRows)
  if (sizeAt(context, read) === undefined || sizeAt(context, made) === undefined) return { ties: passing, cuts: [] }
  return {
    ties: passing,
    cuts: [
      { at, axis: outer.axis, follows: made },
      { at, axis: inner.axis, follows: read },
    ],
    mix: { at, input: read, output: made, inputAxis: inner.axis, outputAxis: outer.axis },
  }
}

export const gemm: Row = (node, context) => {
  const [a, b, c] = node.inputs
  const [output] = node.outputs
  if (rankOf(context, a) !== 2 || rankOf(context, b) !== 2) return undefined
  const [turnedA, turnedB] = ['transA', 'transB'].map((name) => intAttribute(node, name, 0))
  const [madeRows, madeColumns] = [
    { value: output, axis: 0 },
    { value: output, axis: 1 },
  ]
  const found = product(context, {
    rows: { value: a, axis: turnedA },
    summed: [
      { value: a, axis: 1 - turnedA },
      { value: b, axis: turnedB },
    ],
    columns: { value: b, axis: 1 - turnedB },
    madeRows,
    madeColumns,
  })
  const added = rankOf(context, c ?? '')
  if (!c || added === 0) return found
  if (added === undefined || added > 2) return undefined
  // The last of its axes are the output's; one of one place meets all.
  const ties: Tie[] = []
  const cuts: Cut[] = []
  for (const axis of axesBelow(added)) {
    const made = axis + 2 - added === 0 ? madeRows : madeColumns
    const size = sizeAt(context, { value: c, axis })
    if (size === 1 || size !== sizeAt(context, made)) continue
    if (context.constant(c)) cuts.push({ at: 2, axis, follows: made })
    else ties.push({ input: { value: c, axis }, output: made })
  }
  return { ...found, ties: [...found.ties, ...ties], cuts: [...found.cuts, ...cuts] }
}

export const matMul: Row = (node, context) => {
  const [a, b] = node.inputs
  const [output] = node.outputs
  const [rankA, rankB, rank] = [a, b, output].map((name) => rankOf(context, name))
  if (!rankA || !rankB || !rank || rankA < 2 || rankB < 2) return undefined
  const found = product(context, {
    rows: { value: a, axis: rankA - 2 },
    summed: [
      { value: a, axis: rankA - 1 },
      { value: b, axis: rankB - 2 },
    ],
    columns: { value: b, axis: rankB - 1 },
    madeRows: { value: output, axis: rank - 2 },
    madeColumns: { value: output, axis: rank - 1 },
  })
  const [ties, cuts] = [[...found.ties], [...found.cuts]]
  // Matrices lie along the axes before: as many, or one for all.
  for (const axis of axesBelow(rank - 2)) {
    const made = { value: output, axis }
    const size = sizeAt(context, made)
    const operands = [a, b].map((value, i) => ({ at: i, value, axis: axis - rank + [rankA, rankB][i] }))
    const whole = operands.filter((o) => o.axis >= 0 && size !== undefined && sizeAt(context, o) === size)
    const isKnown = operands.every((o) => o.axis < 0 || sizeAt(context, o) !== undefined)
    const values = whole.filter((o) => !context.constant(o.value))
    if (!isKnown || values.length === 0) continue
    for (const o of values) ties.push({ input: { value: o.value, axis: o.axis }, output: made })
    for (const o of whole)
      if (context.constant(o.value) && size !== 1) cuts.push({ at: o.at, axis: o.axis, follows: made })
  }
  return { ...found, ties, cuts }
}

/** By letters: one that lies in an input and the output is tied, one that lies in two inputs alone is summed over. */
export const einsum: Row = (node, context) => {
  const { inputs, outputs } = node
  const { terms, output, ellipsis } = parseEquation(
    stringAttribute(node, 'equation', ''),
    inputs.map((name) => rankOf(context, name)),
  )
  const letters = [...new Set(terms.join(''))]
  const repeats = [...terms, output].some((term) => new Set(term).size < term.length)
  if (inputs.length > 2 || repeats) return undefined
  const isStored = inputs.map((name) => context.constant(name) !== undefined)
  const at = isStored.indexOf(true)
  const ties: Tie[] = []
  const cuts: Cut[] = []
  const contracts: [Axis, Axis][] = []
  let [input, made]: (Axis & { readonly stored: number })[] = []
  for (const letter of letters) {
    const places = terms.map((term, i) => ({ value: inputs[i], axis: term.indexOf(letter) }))
    const target = output.includes(letter) ? { value: outputs[0], axis: output.indexOf(letter) } : undefined
    const sizes = [...places.filter((p) => p.axis >= 0), ...(target ? [target] : [])].map((p) => sizeAt(context, p))
    // What "..." stands for may broadcast.
    if (sizes.some((s) => s === undefined || s !== sizes[0])) {
      if (ellipsis.includes(letter) || sizes.includes(undefined)) continue
      return undefined
    }
    const values = places.filter((p, i) => p.axis >= 0 && !isStored[i])
    const stored = at >= 0 && places[at].axis >= 0 ? places[at].axis : -1
    if (target) for (const p of values) ties.push({ input: p, output: target })
    if (stored >= 0 && target) cuts.push({ at, axis: stored, follows: target })
    else if (stored >= 0 && values.length > 0) cuts.push({ at, axis: stored, follows: values[0] })
    else if (!target && values.length === 2) contracts.push([values[0], values[1]])
    if (stored >= 0 && target && values.length === 0) made ??= { ...target, stored }
    if (stored >= 0 && !target && values.length > 0) input ??= { ...values[0], stored }
  }
  if (at < 0) return { ties, cuts, contracts }
  if (!input || !made) return undefined
  const mix: Mix = { at, input, output: made, inputAxis: input.stored, outputAxis: made.stored }
  return { ties, cuts, mix }
}

/** Hidden units of a recurrent layer: each has its rows for every gate, a column for the others, and its place in every state. */
export const recurrent: Row = (node, context) => {
  const [input, ...rest] = node.inputs
  const last = (value: string): Axis => ({ value, axis: (rankOf(context, value) ?? 0) - 1 })
  const makes = node.outputs.filter((name) => name).map(last)
  const [weights, states] = [
    [0, 1, 2, 6],
    [4, 5],
  ]
  const size = makes.length > 0 ? sizeAt(context, makes[0]) : undefined
  if (size === undefined || !sizeAt(context, last(input))) return undefined
  if (weights.some((i) => rest[i] && !context.constant(rest[i]))) return undefined
  const gates = { GRU: 3, LSTM: 4, RNN: 1 }[node.op] ?? 1
  const [follows, ...others] = makes
  const cuts: Cut[] = [
    { at: 1, axis: 1, follows, repeats: gates },
    { at: 1, axis: 2, follows: last(input) },
    { at: 2, axis: 1, follows, repeats: gates },
    { at: 2, axis: 2, follows },
    ...(rest[2] ? [{ at: 3, axis: 1, follows, repeats: 2 * gates }] : []),
    ...(rest[6] ? [{ at: 7, axis: 1, follows, repeats: 3 }] : []),
  ]
  const ties: Tie[] = others.map((output) => ({ input: follows, output }))
  for (const i of states) {
    const name = rest[i]
    if (!name) continue
    if (context.constant(name)) cuts.push({ at: i + 1, axis: 2, follows })
    else if (sizeAt(context, last(name)) === size) ties.push({ input: last(name), output: follows })
    else return undefined
  }
  return {
    ties,
    cuts,
    recurrence: { reads: last(input), makes },
    adjust: (kept) =>
      kept(follows) ? { attributes: { hidden_size: { type: 'int', value: countKept(context, kept, follows) } } } : {},
  }
}

/**
 * Fused attention, com.microsoft.Attention: queries, keys and values of all heads from one stored matrix. Heads go whole.
 */
export const fusedAttention: Row = (node, context) => {
  const [input, weight, bias, ...more] = node.inputs
  const [output] = node.outputs
  const heads = intAttribute(node, 'num_heads', 0)
  const sizes = intsAttribute(node, 'qkv_hidden_sizes')
  const [read, made] = [
    { value: input, axis: 2 },
    { value: output, axis: 2 },
  ]
  const [width, total] = [sizeAt(context, made), context.constant(weight)?.dims[1]]
  const isPlain = more.every((name, i) => !name || i === 0) && node.outputs.filter((o) => o).length === 1
  const isEven = width !== undefined && total === 3 * width && width % heads === 0
  if (!isPlain || !isEven || sizes?.some((s) => s !== width) || (bias && !context.constant(bias))) return undefined
  const each = width / heads
  return {
    ties: same(context, { value: input, axis: 0 }, { value: output, axis: 0 }),
    cuts: [
      { at: 1, axis: 1, follows: made, repeats: 3 },
      { at: 1, axis: 0, follows: read },
      ...(bias ? [{ at: 2, axis: 0, follows: made, repeats: 3 }] : []),
    ],
    alike: [{ axis: made, as: range(width, (k) => Math.floor(k / each) * each) }],
    recurrence: { reads: read, makes: [made] },
    adjust(kept) {
      if (!kept(made)) return {}
      const left = countKept(context, kept, made)
      return {
        attributes: {
          num_heads: { type: 'int', value: left / each },
          ...(sizes ? { qkv_hidden_sizes: { type: 'ints', value: [left, left, left] } } : {}),
        },
      }
    },
  }
}

/** Attention of queries, keys and values, ONNX's own or com.microsoft.MultiHeadAttention, as many heads in each. Heads go whole. */
export const attention: Row = (node, context) => {
  const [query, key, value, ...more] = node.inputs
  const [output] = node.outputs
  if (node.outputs.filter((o) => o).length > 1) return undefined
  const rank = rankOf(context, query)
  const isOwn = !node.domain
  // Masks and biases may count heads as well.
  if (more.some((name) => name && (rankOf(context, name) ?? 9) > 2) || !rank) return undefined
  const names = isOwn ? ['q_num_heads', 'kv_num_heads'] : ['num_heads', 'num_heads']
  const [heads, others] = names.map((name) => intAttribute(node, name, 0))
  const axis = rank === 4 && isOwn ? 1 : 2
  const operands = [query, key, value, output].map((name): Axis => ({ value: name, axis }))
  if (operands.some((o) => rankOf(context, o.value) !== rank || sizeAt(context, o) === undefined)) return undefined
  const [q, k, v, made] = operands
  const sizeOf = (o: Axis): number => sizeAt(context, o) as number
  if (axis === 1) {
    if (new Set(operands.map(sizeOf)).size > 1) return undefined
    return { ties: [q, k, v].map((input) => ({ input, output: made })), cuts: [] }
  }
  // A bias of MultiHeadAttention is for queries, keys and values together.
  if (heads < 1 || heads !== others || (!isOwn && node.inputs[3]) || operands.some((o) => sizeOf(o) % heads !== 0))
    return undefined
  const perHead = (o: Axis): number => sizeOf(o) / heads
  const tied = (input: Axis): Tie => ({
    input,
    output: made,
    from: range(sizeOf(made), (c) => Math.floor(c / perHead(made)) * perHead(input)),
  })
  return {
    ties: [q, k, v].map(tied),
    cuts: [],
    alike: operands.map((o) => ({ axis: o, as: range(sizeOf(o), (c) => Math.floor(c / perHead(o)) * perHead(o)) })),
    adjust(kept) {
      if (!kept(made)) return {}
      const left = { type: 'int', value: countKept(context, kept, made) / perHead(made) } as const
      return { attributes: Object.fromEntries(names.map((name) => [name, left])) }
    },
  }
}
