/** Norms of units: of all weights that belong to a channel and what is tied to it, as part of a step's graph and of arrays. */
import { crc32 } from '../../checksum.ts'
import type { Model } from '../../model.ts'
import { add, type Emitter } from '../../ops/grad/emit.ts'
import { floats, sizeOf } from '../../tensor/dtype.ts'
import type { Arrays, Json, TermScope } from '../regime.ts'

/** Units 0 to `units` - 1, and the axes of stored tensors whose places are theirs. Groups of channels have this form. */
export interface UnitGroup {
  readonly name: string
  readonly units: number
  readonly members: readonly {
    readonly tensor: string
    readonly axis: number
    /** The unit of each place along the axis; -1: of none. */
    readonly units: Int32Array
    readonly role?: string
  }[]
}

type Member = UnitGroup['members'][number]

/** Members whose weights count, each tensor and axis once: what is passed on one by one (a normalisation's numbers) does not. */
function counting({ members }: UnitGroup): Member[] {
  const own = members.filter((m) => m.role !== 'passes')
  return [...new Map(own.map((m) => [`${m.axis} ${m.tensor}`, m])).values()]
}

/** Throws where a group's tensors are not stored, or it has none. */
export function checkUnits(subject: string, model: Model, groups: readonly UnitGroup[]): void {
  if (groups.length === 0) throw new Error(`${subject}: there are no groups of units; expected at least one`)
  for (const group of groups) {
    const missing = counting(group).find((m) => !model.graph.initializers.has(m.tensor))
    if (missing)
      throw new Error(
        `${subject}: group "${group.name}" counts "${missing.tensor}", which is no stored tensor of the model`,
      )
  }
}

/** Says which groups these are, for checkpoints. */
export function digestOf(groups: readonly UnitGroup[]): Json {
  const text = (m: Member): string => `${m.tensor} ${m.axis} ${m.units.join()}`
  return groups.map((g) => `${g.name} ${crc32(new TextEncoder().encode(counting(g).map(text).join(';')))}`)
}

/** ‖w_u‖² of each unit, [units], of the weights that are trained. */
export function unitSquares(g: Emitter, { value, parameters }: TermScope, group: UnitGroup): string {
  const trained = counting(group).filter((m) => parameters.includes(m.tensor))
  if (trained.length === 0)
    throw new Error(`none of the weights of group "${group.name}" is trained; expected at least one`)
  const parts = trained.map(({ tensor, axis, units }) => {
    const weight = value(tensor)
    const shape = g.shape(weight)
    const others = shape.map((_, a) => a).filter((a) => a !== axis)
    const squares =
      others.length > 0
        ? g.op('ReduceSumSquare', [weight, g.ints(others)], { attributes: { keepdims: 0 }, shape: [shape[axis]] })
        : g.op('Mul', [weight, weight])
    // Sums over the places of each unit, as a product with ones.
    const ones = new Float32Array(units.length * group.units)
    for (const [place, unit] of units.entries()) if (unit >= 0) ones[place * group.units + unit] = 1
    const rows = g.op('Reshape', [squares, g.ints([1, units.length])], { shape: [1, units.length] })
    const matrix = g.constant(ones, 'float32', [units.length, group.units])
    const sums = g.op('MatMul', [rows, matrix], { shape: [1, group.units] })
    return g.op('Reshape', [sums, g.ints([group.units])], { shape: [group.units] })
  })
  return parts.reduce((a, b) => add(g, a, b))
}

/** The same of arrays. */
export function unitSquaresOf(model: Model, weights: Arrays, group: UnitGroup): Float64Array {
  const sums = new Float64Array(group.units)
  for (const member of counting(group)) {
    const values = weights.get(member.tensor)
    if (values) eachElement(model, member, (unit, k) => void (sums[unit] += values[k] ** 2))
  }
  return sums
}

/** How many trained weights each unit has. */
export function unitSizes(model: Model, parameters: readonly string[], group: UnitGroup): number[] {
  const counts: number[] = Array.from({ length: group.units }, () => 0)
  for (const member of counting(group))
    if (parameters.includes(member.tensor)) eachElement(model, member, (unit) => void counts[unit]++)
  return counts
}

/** ‖w_u‖ of each unit of a model. */
export function unitNorms(model: Model, group: UnitGroup): Float64Array {
  const weights = new Map(
    counting(group).flatMap(({ tensor }) => {
      const stored = model.graph.initializers.get(tensor)
      return stored ? [[tensor, floats(stored)] as const] : []
    }),
  )
  return unitSquaresOf(model, weights, group).map(Math.sqrt)
}

function eachElement(
  model: Model,
  { tensor, axis, units }: Member,
  visit: (unit: number, element: number) => void,
): void {
  const dims = model.graph.initializers.get(tensor)?.dims ?? []
  const inner = sizeOf(dims.slice(axis + 1))
  for (let k = 0; k < sizeOf(dims); k++) {
    const unit = units[Math.floor(k / inner) % dims[axis]]
    if (unit >= 0) visit(unit, k)
  }
}
