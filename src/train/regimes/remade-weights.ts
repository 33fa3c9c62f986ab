/**
 * Weights that are made anew at each step while a network trains: of what is stored, times gates, plus noise. What regimes of
 * that kind share: which numbers of a weight have a gate in common, putting nodes in, and taking them out again.
 */
import { node, valueInfo } from '../../graph/build.ts'
import { editGraph } from '../../graph/edit.ts'
import { type WeightTensor, weightTensors } from '../../graph/weights.ts'
import { type Model, type Node, type Tensor, type ValueInfo, withGraph } from '../../model.ts'
import type { Emitter } from '../../ops/grad/emit.ts'
import { macroDomain } from '../../ops/grad/rule.ts'
import { floats, floatTensor, integerTensor, sizeOf } from '../../tensor/dtype.ts'
import type { Random } from '../../tensor/random.ts'
import { checksumOf, type Json, type StateScope, type StateTensor } from '../regime.ts'

/** Units 0 to `units` - 1, of each of which all weights go together. Groups of channels (`UnitGroup`) have this form too. */
export interface GateGroup {
  readonly name: string
  readonly units: number
  readonly members: readonly GateMember[]
}

export interface GateMember {
  readonly tensor: string
  /** The axis whose places are units; left out, each element is one. */
  readonly axis?: number
  /** The unit of each place along the axis; -1: of none. Left out: place i is unit i. */
  readonly units?: Int32Array
}

/** What the main graph stores as float32 and a layer multiplies with. Throws where a name is none, or there is none. */
export function storedWeights(subject: string, model: Model, names?: readonly string[]): WeightTensor[] {
  const known = weightTensors(model).filter(
    ({ graph, name, tensor }) => graph === model.graph && tensor.dtype === 'float32' && graph.initializers.has(name),
  )
  const unknown = names?.find((name) => !known.some((w) => w.name === name))
  if (unknown !== undefined)
    throw new Error(
      `${subject}: the model has no weight "${unknown}"; expected ${known.map((w) => w.name).join(', ') || 'one that it stores'}`,
    )
  const chosen = names ? known.filter((w) => names.includes(w.name)) : known
  if (chosen.length === 0)
    throw new Error(`${subject}: the model stores no weight of a layer as float32; expected at least one`)
  return chosen
}

/** Each weight alone, of the layers named; default: all. */
export function weightGates(model: Model, names?: readonly string[]): GateGroup[] {
  return storedWeights('gates', model, names).map(({ name, tensor }) => ({
    name,
    units: sizeOf(tensor.dims),
    members: [{ tensor: name }],
  }))
}

/** The filters of a convolution, the inputs of a dense layer (Louizos et al. 2018, section 4.1), of the layers named or of all. */
export function inputGates(model: Model, names?: readonly string[]): GateGroup[] {
  return storedWeights('gates', model, names).map(({ name, tensor: { dims }, outputAxis = 0 }) => {
    const axis = dims.length > 2 ? outputAxis : 1 - Math.min(outputAxis, 1)
    return { name, units: dims[axis], members: [{ tensor: name, axis }] }
  })
}

/** Throws where a group counts what the model does not store. */
export function checkGates(subject: string, model: Model, groups: readonly GateGroup[]): void {
  if (groups.length === 0) throw new Error(`${subject}: there is nothing to have a gate; expected at least one group`)
  for (const { name, members } of groups) {
    const missing = members.find((m) => model.graph.initializers.get(m.tensor)?.dtype !== 'float32')
    if (missing)
      throw new Error(
        `${subject}: group "${name}" counts "${missing.tensor}", which is no float32 tensor that is stored`,
      )
  }
}

/** Says which groups these are, for checkpoints. */
export function digestOfGates(groups: readonly GateGroup[]): Json {
  const of = ({ tensor, axis, units }: GateMember): Json => ({ tensor, axis, units: units && checksumOf(units) })
  return groups.map(({ name, units, members }) => [name, units, members.map(of)])
}

/** How many weights each unit has. */
export function gateSizes(model: Model, { units, members }: GateGroup): Float32Array {
  const sizes = new Float32Array(units)
  for (const member of members) eachGated(model, member, (unit) => void sizes[unit]++)
  return sizes
}

/** Calls `visit` with the unit of each element that has one, and the element. */
function eachGated(model: Model, { tensor, axis, units }: GateMember, visit: (unit: number, i: number) => void): void {
  const { dims } = model.graph.initializers.get(tensor) as Tensor
  const [count, inner] = axis === undefined ? [sizeOf(dims), 1] : [dims[axis], sizeOf(dims.slice(axis + 1))]
  for (let i = 0; i < sizeOf(dims); i++) {
    const place = Math.floor(i / inner) % count
    const unit = units ? units[place] : place
    if (unit >= 0) visit(unit, i)
  }
}

/** Weights as nodes make them, until those are put in. */
export interface Remaking {
  /** A node of one output, whose name it gives. */
  op(type: string, inputs: readonly string[], attributes?: Readonly<Record<string, number>>): string
  /** The second value, whose gradient goes to the first. */
  straightThrough(source: string, value: string): string
  /** Stores an array and gives its name, which begins with `base`. */
  store(base: string, dims: readonly number[], values: Float32Array): string
  /** A stored number. */
  number(value: number): string
  /** The value that stands for a tensor now: itself, or what was made of it last. */
  now(tensor: string): string
  /** Lets another stand for it. */
  make(tensor: string, value: string): void
  /** A value in the shape of those sizes. */
  reshaped(value: string, dims: readonly number[]): string
  /** Multiplies the members of a group by a value of [units]. */
  multiply(group: GateGroup, factors: string): void
  /** An input for noise, and its name. */
  input(base: string, dims: readonly number[]): string
  /** The model in which what read a tensor reads what was made of it. */
  finish(): Model
}

export function remakeWeights(model: Model): Remaking {
  const edit = editGraph(model)
  const made = new Map<string, string>()
  const added: Node[] = []
  const inputs: ValueInfo[] = []
  const sizesOf = (dims: readonly number[]): string =>
    edit.store(integerTensor(edit.fresh('sizes'), 'int64', [dims.length], dims))
  const remaking: Remaking = {
    op(type, from, attributes = {}) {
      const output = edit.fresh(type.toLowerCase())
      added.push(node(type, from, [output], attributes))
      return output
    },
    straightThrough(source, value) {
      const output = edit.fresh('straight_through')
      added.push(node('StraightThrough', [source, value], [output], {}, { domain: macroDomain }))
      return output
    },
    store: (base, dims, values) => edit.store(floatTensor(edit.fresh(base), dims, values)),
    number: (value) => edit.store(floatTensor(edit.fresh('number'), [], Float32Array.of(value))),
    now: (tensor) => made.get(tensor) ?? tensor,
    make: (tensor, value) => void made.set(tensor, value),
    reshaped: (value, dims) => remaking.op('Reshape', [value, sizesOf(dims)]),
    multiply(group, factors) {
      for (const { tensor, axis, units } of group.members) {
        const { dims } = model.graph.initializers.get(tensor) as Tensor
        const shape = axis === undefined ? dims : dims.map((d, i) => (i === axis ? d : 1))
        const placed = units ? atPlaces(factors, units, group.units) : factors
        remaking.make(tensor, remaking.op('Mul', [remaking.now(tensor), remaking.reshaped(placed, shape)]))
      }
    },
    input(base, dims) {
      const name = edit.fresh(base)
      inputs.push(valueInfo(name, 'float32', dims))
      return name
    },
    finish() {
      const reading = (n: Node): Node => ({ ...n, inputs: n.inputs.map(remaking.now) })
      const entered = edit.finishWith([...added, ...model.graph.nodes.map(reading)])
      return withGraph(entered, { inputs: [...model.graph.inputs, ...inputs] })
    },
  }
  /** The factor at each place; places of no unit get the 1 that is put after the last. */
  function atPlaces(factors: string, units: Int32Array, count: number): string {
    const padded = remaking.op('Concat', [factors, remaking.store('one', [1], Float32Array.of(1))], { axis: 0 })
    const places = Array.from(units, (unit) => (unit < 0 ? count : unit))
    const index = edit.store(integerTensor(edit.fresh('places'), 'int64', [places.length], places))
    return remaking.op('Gather', [padded, index], { axis: 0 })
  }
  return remaking
}

/** The model that was given, with the values that training found, each tensor changed by `change`. */
export function leftAs(
  model: Model,
  trained: Model,
  change: (name: string, values: Float32Array) => Float32Array,
): Model {
  const held = new Map(trained.graph.nodes.flatMap((n) => (n.op === 'Constant' ? [[n.outputs[0], n] as const] : [])))
  const initializers = [...model.graph.initializers].map(([name, before]): [string, Tensor] => {
    const tensor = trained.graph.initializers.get(name) ?? before
    if (tensor.dtype !== 'float32') return [name, tensor]
    const values = floats(tensor) as Float32Array
    const changed = change(name, values)
    return [name, changed === values ? tensor : floatTensor(name, tensor.dims, changed)]
  })
  return withGraph(model, {
    initializers: new Map(initializers),
    nodes: model.graph.nodes.map((n) => (n.op === 'Constant' && held.get(n.outputs[0])) || n),
  })
}

/** The values of a tensor times the factors of the groups that it is in. */
export function gatedBy(
  model: Model,
  groups: readonly { readonly group: GateGroup; readonly factors: Float32Array }[],
): (name: string, values: Float32Array) => Float32Array {
  return (name, values) => {
    const parts = groups.flatMap(({ group, factors }) =>
      group.members.flatMap((member) => (member.tensor === name ? [{ member, factors }] : [])),
    )
    if (parts.length === 0) return values
    const gated = values.slice()
    for (const { member, factors } of parts)
      eachGated(model, member, (unit, i) => {
        // No -0, which takes bytes of its own when packed.
        gated[i] = factors[unit] === 0 ? 0 : gated[i] * factors[unit]
      })
    return gated
  }
}

/** A weight that rises from 0 to 1 over so many steps, in the state under `warmth`. */
export function warmth(steps: number): Record<string, StateTensor> {
  const first = steps > 0 ? 1 / steps : 1
  return {
    warmth: {
      shape: [],
      values: Float32Array.of(Math.min(1, first)),
      next: (g: Emitter, { state }: StateScope) =>
        g.op('Min', [g.op('Add', [state('warmth'), g.constant(first)]), g.constant(1)]),
    },
  }
}

/** Standard normal numbers, two for each pair of draws (Box-Muller); 0 where `mask` is. */
export function drawNormal(values: Float32Array, rng: Random, mask?: Uint8Array): void {
  for (let i = 0; i < values.length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - rng.next()))
    const angle = 2 * Math.PI * rng.next()
    values[i] = radius * Math.cos(angle)
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle)
  }
  if (mask) for (let i = 0; i < values.length; i++) if (mask[i] === 0) values[i] = 0
}
