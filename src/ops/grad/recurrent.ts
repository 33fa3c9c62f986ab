/**
 * Backward rules of RNN, GRU and LSTM (Operators.md of ONNX; gates in ONNX's order: z r h of a GRU, i o f c of an LSTM).
 *
 * The forward pass stays the runtime's own kernel. Since it gives every hidden state, all gates of all steps follow from
 * them at once, by two large products; and with the gates everything that one step's gradient is multiplied by. What is
 * left to do step after step is short: one Scan of about six nodes. Gradients of weights and inputs are large products
 * again. (A Scan takes 0.6 to 1.0 of the time of the same nodes written out for each step, at 50 to 200 steps.)
 */
import { UnsupportedError } from '../../errors.ts'
import { describe, floatAttribute, intAttribute, stringAttribute } from '../../graph/walk.ts'
import type { Attribute, Node } from '../../model.ts'
import { elementwiseRules } from './elementwise.ts'
import {
  add,
  concat,
  type Emitter,
  matMul,
  mul,
  neg,
  nestedGraph,
  reshape,
  shift,
  slice,
  sub,
  sum,
  transpose,
  zeros,
} from './emit.ts'
import type { At, GradRule } from './rule.ts'

/** One direction's values. T steps, B samples, I inputs, H hidden units, G gates. */
interface Direction {
  readonly node: Node
  readonly reverse: boolean
  readonly hidden: number
  /** [T, B, I] */
  readonly x: string
  /** [G·H, I] and [G·H, H] */
  readonly w: string
  readonly r: string
  /** [G·H] each, of the input's side and of the recurrent one. */
  readonly bias?: { readonly input: string; readonly recurrent: string }
  /** [T, B, H]: the state after each step, and the one before it. */
  readonly after: string
  readonly before: string
  /** [B, H] */
  readonly initialCell?: string
  readonly activations: readonly Activation[]
  /** Gradients of every state, of the last one and of the last cell. */
  readonly dy: string
  readonly dLast?: string
  readonly dLastCell?: string
}

/** What a direction's steps give. */
interface Stepped {
  /** [T, B, G·H]: gradients of what the gates' functions take, on the input's side and on the recurrent one. */
  readonly input: string
  readonly recurrent: string
  /** What each row of gates was multiplied with on the recurrent side, where it is not the state before. */
  readonly multiplied?: { readonly rows: number; readonly by: string }
  /** [B, H] */
  readonly dInitial: string
  readonly dInitialCell?: string
}

type Cell = (g: Emitter, d: Direction) => Stepped

interface Activation {
  readonly apply: (x: string) => string
  /** dy times its slope at x, where it is y. */
  readonly back: (x: string, y: string, dy: string) => string
}

/** The rows of gates that a product of all of them is split into. */
function gatesOf(g: Emitter, value: string, sizes: readonly number[]): string[] {
  const [t, b] = g.shape(value)
  const types = sizes.map((size) => ({ dtype: g.dtype(value), shape: [t, b, size] }))
  return g.ops('Split', [value, g.ints(sizes)], types, { attributes: { axis: 2 } })
}

const one = (g: Emitter, a: string): string => shift(g, neg(g, a), 1)
const times = (g: Emitter, a: string, matrix: string): string => matMul(g, a, transpose(g, matrix, [1, 0]))
const rows = (g: Emitter, a: string, from: number, to: number): string =>
  slice(g, a, { axes: [0], starts: [from], ends: [to] })

/** What the gates' functions take, of both sides: x·Wᵀ + h·Rᵀ + biases. */
function preActivations(g: Emitter, { x, w, r, before, bias }: Direction): string {
  const both = add(g, times(g, x, w), times(g, before, r))
  return bias ? add(g, both, add(g, bias.input, bias.recurrent)) : both
}

interface Steps {
  /** [B, H] each: what the first step that is looked at (the last in time) starts with. */
  readonly state: readonly string[]
  /** [T, B, ...] each. */
  readonly inputs: readonly string[]
  /** In time's order, else against it. */
  readonly forward: boolean
  /** Gives the next state, then what is collected of every step. */
  readonly body: (g: Emitter, state: readonly string[], inputs: readonly string[]) => readonly string[]
}

function scan(g: Emitter, { state, inputs, forward, body }: Steps): string[] {
  const steps = g.shape(inputs[0])[0]
  const [held, taken] = [
    state.map((s) => ({ dtype: g.dtype(s), shape: g.shape(s) })),
    inputs.map((i) => ({ dtype: g.dtype(i), shape: g.shape(i).slice(1) })),
  ]
  let collected: { dtype: (typeof held)[0]['dtype']; shape: readonly number[] }[] = []
  const inner = nestedGraph(g, [...held, ...taken], (e, values) => {
    const made = body(e, values.slice(0, state.length), values.slice(state.length))
    collected = made.slice(state.length).map((v) => ({ dtype: e.dtype(v), shape: [steps, ...e.shape(v)] }))
    return made
  })
  const direction = forward ? 0 : 1
  const attributes: Record<string, Attribute | number | number[]> = {
    body: inner,
    num_scan_inputs: inputs.length,
    scan_input_directions: inputs.map(() => direction),
    scan_output_directions: collected.map(() => direction),
  }
  return g.ops('Scan', [...state, ...inputs], [...held, ...collected], { attributes })
}

const lastState = (g: Emitter, d: Direction): string => d.dLast ?? zeros(g, firstStep(g, d.before))
const firstStep = (g: Emitter, a: string): string => {
  const [, ...rest] = g.shape(a)
  return reshape(g, slice(g, a, { axes: [0], starts: [0], ends: [1] }), rest)
}

const rnn: Cell = (g, d) => {
  const slope = d.activations[0].back(preActivations(g, d), d.after, filled(g, d.after))
  const [dInitial, gates] = scan(g, {
    state: [lastState(g, d)],
    inputs: [d.dy, slope],
    forward: d.reverse,
    body: (e, [carried], [dy, factor]) => {
      const dGate = mul(e, add(e, dy, carried), factor)
      return [matMul(e, dGate, d.r), dGate]
    },
  })
  return { input: gates, recurrent: gates, dInitial }
}

const filled = (g: Emitter, like: string): string =>
  g.constant(
    1,
    g.dtype(like),
    g.shape(like).map(() => 1),
  )

/**
 * h = (1 - z)·c + z·h', c = g(x·Wc + r·(h'·Rc)) or, without linear_before_reset, g(x·Wc + (r·h')·Rc).
 * dc = dh·(1 - z), dz = dh·(h' - c), each times its function's slope.
 */
const gru: Cell = (g, d) => {
  const { hidden, w, r, before, bias } = d
  const [f, h] = d.activations
  const linear = intAttribute(d.node, 'linear_before_reset', 0) === 1
  const input = times(g, d.x, w)
  const fromInput = gatesOf(g, bias ? add(g, input, bias.input) : input, [2 * hidden, hidden])
  const [gateRows, candidateRows] = [rows(g, r, 0, 2 * hidden), rows(g, r, 2 * hidden, 3 * hidden)]
  const [gateBias, candidateBias] = bias
    ? [rows(g, bias.recurrent, 0, 2 * hidden), rows(g, bias.recurrent, 2 * hidden, 3 * hidden)]
    : []
  const plus = (a: string, b: string | undefined): string => (b ? add(g, a, b) : a)
  // All gates of all steps.
  const gatesIn = add(g, fromInput[0], plus(times(g, before, gateRows), gateBias))
  const [zIn, rIn] = gatesOf(g, gatesIn, [hidden, hidden])
  const [z, reset] = gatesOf(g, f.apply(gatesIn), [hidden, hidden])
  const kept = mul(g, reset, before)
  const product = plus(times(g, linear ? before : kept, candidateRows), candidateBias)
  const candidateIn = add(g, fromInput[1], linear ? mul(g, reset, product) : product)
  const candidate = h.apply(candidateIn)
  // What a step's gradient is multiplied by on its way to each gate.
  const toZ = f.back(zIn, z, sub(g, before, candidate))
  const toCandidate = h.back(candidateIn, candidate, one(g, z))
  if (linear) {
    const toReset = f.back(rIn, reset, mul(g, toCandidate, product))
    const [t, b] = g.shape(z)
    const factors = reshape(g, concat(g, [toZ, toReset, mul(g, toCandidate, reset)], 2), [t, b, 3, hidden])
    const [dInitial, recurrent, dh] = scan(g, {
      state: [lastState(g, d)],
      inputs: [d.dy, factors, z],
      forward: d.reverse,
      body: (e, [carried], [dy, factor, update]) => {
        const dState = add(e, dy, carried)
        const gates = reshape(e, mul(e, factor, reshape(e, dState, [b, 1, hidden])), [b, 3 * hidden])
        return [add(e, matMul(e, gates, r), mul(e, dState, update)), gates, dState]
      },
    })
    const [ofGates] = gatesOf(g, recurrent, [2 * hidden, hidden])
    return { input: concat(g, [ofGates, mul(g, dh, toCandidate)], 2), recurrent, dInitial }
  }
  const toReset = f.back(rIn, reset, before)
  const [dInitial, gates] = scan(g, {
    state: [lastState(g, d)],
    inputs: [d.dy, toZ, toReset, toCandidate, z, reset],
    forward: d.reverse,
    body: (e, [carried], [dy, zFactor, rFactor, cFactor, update, r]) => {
      const dState = add(e, dy, carried)
      const dCandidate = mul(e, dState, cFactor)
      const dKept = matMul(e, dCandidate, candidateRows)
      const dGates = concat(e, [mul(e, dState, zFactor), mul(e, dKept, rFactor)], 1)
      const direct = add(e, mul(e, dState, update), mul(e, dKept, r))
      return [add(e, matMul(e, dGates, gateRows), direct), concat(e, [dGates, dCandidate], 1)]
    },
  })
  return { input: gates, recurrent: gates, dInitial, multiplied: { rows: hidden, by: kept } }
}

/** c = f·c' + i·g(..), h = o·tanh(c). */
const lstm: Cell = (g, d) => {
  const { hidden, r } = d
  const [f, ofCell, ofOutput] = d.activations
  const inputs = preActivations(g, d)
  const sizes = [3 * hidden, hidden]
  const [gatesIn, candidateIn] = gatesOf(g, inputs, sizes)
  const [iIn, oIn, fIn] = gatesOf(g, gatesIn, [hidden, hidden, hidden])
  const [i, o, forget] = gatesOf(g, f.apply(gatesIn), [hidden, hidden, hidden])
  const candidate = ofCell.apply(candidateIn)
  const initial = d.initialCell ?? zeros(g, firstStep(g, d.before))
  // The kernel does not give the cells of every step.
  const [, cell] = scan(g, {
    state: [initial],
    inputs: [mul(g, i, candidate), forget],
    forward: !d.reverse,
    body: (e, [held], [added, kept]) => {
      const now = add(e, mul(e, held, kept), added)
      return [now, e.op('Identity', [now])]
    },
  })
  const squashed = ofOutput.apply(cell)
  const cellBefore = statesBefore(g, cell, initial, d.reverse)
  const toCell = ofOutput.back(cell, squashed, o)
  const factors = concat(
    g,
    [
      f.back(iIn, i, candidate),
      f.back(oIn, o, squashed),
      f.back(fIn, forget, cellBefore),
      ofCell.back(candidateIn, candidate, i),
    ],
    2,
  )
  const [dInitial, dInitialCell, gates] = scan(g, {
    state: [lastState(g, d), d.dLastCell ?? zeros(g, initial)],
    inputs: [d.dy, toCell, factors, forget],
    forward: d.reverse,
    body: (e, [carried, carriedCell], [dy, cellFactor, factor, kept]) => {
      const dState = add(e, dy, carried)
      const dCell = add(e, carriedCell, mul(e, dState, cellFactor))
      const dGates = mul(e, concat(e, [dCell, dState, dCell, dCell], 1), factor)
      return [matMul(e, dGates, r), mul(e, dCell, kept), dGates]
    },
  })
  return { input: gates, recurrent: gates, dInitial, dInitialCell }
}

/** The state before each step, of the states after them and the initial one. */
function statesBefore(g: Emitter, after: string, initial: string, reverse: boolean): string {
  const [steps, ...rest] = g.shape(after)
  const start = reshape(g, initial, [1, ...rest])
  if (steps === 1) return start
  const others = slice(g, after, { axes: [0], starts: [reverse ? 1 : 0], ends: [reverse ? steps : steps - 1] })
  return concat(g, reverse ? [others, start] : [start, others], 0)
}

interface Kind {
  readonly gates: number
  readonly cell: Cell
  readonly activations: readonly string[]
}

const kinds: Readonly<Record<string, Kind>> = {
  RNN: { gates: 1, cell: rnn, activations: ['Tanh'] },
  GRU: { gates: 3, cell: gru, activations: ['Sigmoid', 'Tanh'] },
  LSTM: { gates: 4, cell: lstm, activations: ['Sigmoid', 'Tanh', 'Tanh'] },
}

/** The functions that a gate may have, with the attributes they take and those attributes' defaults. */
const functions: Readonly<Record<string, { readonly alpha?: number; readonly beta?: number }>> = {
  Sigmoid: {},
  Tanh: {},
  Relu: {},
  Softsign: {},
  Softplus: {},
  HardSigmoid: { alpha: 0.2, beta: 0.5 },
  LeakyRelu: { alpha: 0.01 },
  Elu: { alpha: 1 },
}

function activationsOf(g: Emitter, node: Node, kind: Kind): Activation[] {
  const given = node.attributes.activations
  const twice = stringAttribute(node, 'direction', 'forward') === 'bidirectional'
  const names = given?.type === 'strings' ? given.value.map(String) : [...kind.activations, ...kind.activations]
  const listOf = (name: string): number[] => {
    const list = node.attributes[name]
    return list?.type === 'floats' ? [...list.value] : []
  }
  // Each function that has an alpha or beta takes the next of the list.
  const [alphas, betas] = [listOf('activation_alpha'), listOf('activation_beta')]
  return names.slice(0, kind.activations.length * (twice ? 2 : 1)).map((given) => {
    const op = Object.keys(functions).find((name) => name.toLowerCase() === given.toLowerCase())
    if (!op)
      throw new UnsupportedError(
        `${describe(node)}: its activation ${given} has no gradient; expected one of ${Object.keys(functions).join(', ')}`,
      )
    const { alpha, beta } = functions[op]
    const attributes: Record<string, Attribute> = {
      ...(alpha === undefined ? {} : { alpha: { type: 'float', value: alphas.shift() ?? alpha } }),
      ...(beta === undefined ? {} : { beta: { type: 'float', value: betas.shift() ?? beta } }),
    }
    const like: Node = { op, inputs: [], outputs: [], attributes }
    return {
      apply: (x) => g.op(op, [x], { attributes }),
      back: (x, y, dy) => {
        const at = { node: like, x: [x], y: [y], dys: [dy], dy, needs: () => true, ints: none, floats: none }
        return elementwiseRules[op](g, at)[0] as string
      },
    }
  })
}
const none = (): undefined => undefined

/** Refuses what the rules do not know, and says what to do instead. */
function check(at: At, steps: number): void {
  const { node } = at
  const refuse = (what: string, expected: string): never => {
    throw new UnsupportedError(`${describe(node)}: ${what} has no gradient; expected ${expected}`)
  }
  if (at.x[4] && !at.ints(4)?.every((length) => length === steps))
    refuse('an input sequence_lens of shorter sequences', `sequences of all ${steps} steps`)
  if (at.x[7]) refuse('its input P (peepholes)', 'an LSTM without them')
  if (intAttribute(node, 'layout', 0) !== 0) refuse('layout 1 (batch first)', 'layout 0, which ONNX Runtime runs')
  if (intAttribute(node, 'input_forget', 0) !== 0) refuse('input_forget', 'input and forget gates of their own')
  if (floatAttribute(node, 'clip', 0) > 0) refuse('clip', 'gates that are not clipped')
}

/** Inputs X, W, R, B, sequence_lens, initial_h, initial_c, P. */
const recurrent =
  (kind: Kind): GradRule =>
  (g, at) => {
    check(at, g.shape(at.x[0])[0])
    const [x, w, r, b, , h0, c0] = at.x
    const [y] = at.y
    const [directions, , hidden] = g.shape(r)
    const first = stringAttribute(at.node, 'direction', 'forward') === 'reverse'
    const activations = activationsOf(g, at.node, kind)
    /** What a value along `axis` holds for a direction, without that axis. */
    const part = (value: string | undefined, axis: number, i: number): string | undefined => {
      if (!value) return undefined
      const shape = g.shape(value)
      const own = slice(g, value, { axes: [axis], starts: [i], ends: [i + 1] })
      return reshape(
        g,
        directions === 1 ? value : own,
        shape.filter((_, k) => k !== axis),
      )
    }
    const results = Array.from({ length: directions }, (_, i) => {
      const reverse = i === 1 || first
      const after = part(y, 1, i) as string
      const [, batch] = g.shape(after)
      const none = g.constant(0, g.dtype(after), [batch, hidden])
      const biases = part(b, 0, i)
      const size = kind.gates * hidden
      const bias = biases ? { input: rows(g, biases, 0, size), recurrent: rows(g, biases, size, 2 * size) } : undefined
      const before = statesBefore(g, after, part(h0, 0, i) ?? none, reverse)
      const d: Direction = {
        node: at.node,
        reverse,
        hidden,
        x,
        w: part(w, 0, i) as string,
        r: part(r, 0, i) as string,
        bias,
        after,
        before,
        initialCell: part(c0, 0, i),
        activations: activations.slice(i * kind.activations.length),
        dy: part(at.dys[0], 1, i) ?? zeros(g, after),
        dLast: part(at.dys[1], 0, i),
        dLastCell: part(at.dys[2], 0, i),
      }
      return { d, stepped: kind.cell(g, d) }
    })
    /** One gradient of each direction, side by side along a first axis of directions. */
    const joined = (i: number, of: (result: (typeof results)[0]) => string): string | undefined =>
      at.x[i] && at.needs(i)
        ? concat(
            g,
            results.map((result) => ahead(g, of(result))),
            0,
          )
        : undefined
    const sides = ({ stepped }: (typeof results)[0]) =>
      concat(g, [sum(g, stepped.input, [0, 1]), sum(g, stepped.recurrent, [0, 1])], 0)
    return [
      at.needs(0)
        ? results.map(({ d, stepped }) => matMul(g, stepped.input, d.w)).reduce((a, c) => add(g, a, c))
        : undefined,
      joined(1, ({ d, stepped }) => product(g, stepped.input, d.x)),
      joined(2, (result) => recurrentProduct(g, result)),
      joined(3, sides),
      undefined,
      joined(5, ({ stepped }) => stepped.dInitial),
      joined(6, ({ stepped }) => stepped.dInitialCell as string),
    ]
  }

const ahead = (g: Emitter, a: string): string => reshape(g, a, [1, ...g.shape(a)])

/** Σ over steps and samples of a·bᵀ: [T, B, M] and [T, B, N] to [M, N]. */
function product(g: Emitter, a: string, b: string): string {
  const flat = (v: string): string => {
    const [t, n, size] = g.shape(v)
    return reshape(g, v, [t * n, size])
  }
  return matMul(g, transpose(g, flat(a), [1, 0]), flat(b))
}

function recurrentProduct(g: Emitter, { d, stepped }: { readonly d: Direction; readonly stepped: Stepped }): string {
  const { recurrent: gates, multiplied } = stepped
  if (!multiplied) return product(g, gates, d.before)
  const size = g.shape(gates)[2]
  const [first, last] = gatesOf(g, gates, [size - multiplied.rows, multiplied.rows])
  return concat(g, [product(g, first, d.before), product(g, last, multiplied.by)], 0)
}

export const recurrentRules: Readonly<Record<string, GradRule>> = Object.fromEntries(
  Object.entries(kinds).map(([op, kind]) => [op, recurrent(kind)]),
)
