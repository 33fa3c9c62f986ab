/**
 * Finds the grid that values lie on: steps s, and where it must be zeros z, such that each value is (q - z) s for a whole q, rounded
 * once to the values' precision; or one of the forms in two roundings of grid-forms.ts; or, where nothing gives the values exactly,
 * a grid within a few units of the last place.
 */
import { type DataType, floats, floatToBfloat, floatToHalf, halfToFloat } from '../../tensor/dtype.ts'
import type { TensorInfo } from './coding.ts'
import { type Form, floatNear, formOf, onForm } from './grid-forms.ts'

export type Floats = Float32Array | Float64Array

const maxDistinct = 1 << 16
/** Integers that the largest value may be, tried one by one. */
const fewLevels = 256
/** The same where values are not exact, and of the range where the grid does not go through 0. */
const mostLevels = 512
/** Elements of a block that shares a step, along the last dimension. */
const blockSizes = [32, 128, 64, 16, 256]
/** Steps that a table may hold. */
const maxSteps = 1 << 16

interface Precision {
  readonly round: (x: number) => number
  /** Half a unit in the last place, relative; of doubles twice that, since bounds are rounded too. */
  readonly unit: number
  /** Integers beyond this are as costly as floats. */
  readonly maxInteger: number
  /** The same of decimals, which are all exact, or nearly so. */
  readonly maxDecimal?: number
}

const single: Precision = { round: Math.fround, unit: 2 ** -24, maxInteger: 1 << 20 }
const precisions: Partial<Record<DataType, Precision>> = {
  float16: { round: (x) => halfToFloat(floatToHalf(x)), unit: 2 ** -11, maxInteger: 512 },
  bfloat16: { round: (x) => bfloatToFloat(floatToBfloat(x)), unit: 2 ** -8, maxInteger: 256 },
  float32: single,
  float64: { round: (x) => x, unit: 2 ** -52, maxInteger: 1 << 20, maxDecimal: 1 << 30 },
}

const word = new DataView(new ArrayBuffer(4))

function bfloatToFloat(bits: number): number {
  word.setUint16(0, bits)
  word.setUint16(2, 0)
  return word.getFloat32(0)
}

export interface Steps {
  readonly steps: readonly number[]
  /** How many elements in a row share a step; 0 where all do. */
  readonly run: number
  /** How values come of integers and steps, if not by one product. */
  readonly form?: Form
  /** As many as steps: what a form adds to each product; else where each step's grid has its 0, in steps, if not at 0. */
  readonly second?: readonly number[]
  readonly integers: Int32Array
}

/** The grids of a tensor: first that of one step, then one of several, if it has them. */
export function* findSteps({ dtype, dims, size, byteLength }: TensorInfo, data: Uint8Array): Generator<Steps> {
  const precision = precisions[dtype]
  if (!precision) return
  const values =
    dtype === 'float64'
      ? new Float64Array(new Uint8Array(data.subarray(0, byteLength)).buffer)
      : floats({ name: '', dtype, dims, data })
  const whole = findStep(values, anyStep, precision)
  if (whole !== undefined) yield onGrid(values, [{ step: whole, zero: 0 }], 0)
  const decimal = whole === undefined ? findDecimal(values, precision) : undefined
  if (decimal !== undefined) yield inDecimals(values, decimal)
  const rows = arrangements(dims, size)
  const all = [{ count: 1, run: 0 }, ...rows]
  const exact = (part: Floats): Lattice | undefined => {
    const step = findStep(part, anyStep, precision)
    return step === undefined ? undefined : { step, zero: 0 }
  }
  const found =
    firstFound(rows, (r) => inLattices(values, r, exact)) ??
    (dtype === 'float32' ? firstFound(all, (r) => inTwoRoundings(values as Float32Array, r)) : undefined) ??
    firstFound(all, (r) => inLattices(values, r, (part) => nearLattice(part, precision)))
  if (found) yield found
}

/** What is found for the first of these that has it. */
function firstFound<T, Found>(these: readonly T[], find: (one: T) => Found | undefined): Found | undefined {
  for (const one of these) {
    const found = find(one)
    if (found !== undefined) return found
  }
  return undefined
}

/** How steps may lie: so many, each for so many elements in a row; 0 where one is for all. */
interface Arrangement {
  readonly count: number
  readonly run: number
}

/** (q - zero) step for whole q. */
interface Lattice {
  readonly step: number
  readonly zero: number
}

/** One step for each index of a dimension, or one per block of the last. */
function arrangements(dims: readonly number[], size: number): Arrangement[] {
  const out: Arrangement[] = []
  for (let axis = 0, run = size; axis < dims.length; axis++) {
    run /= dims[axis]
    const count = dims[axis]
    if (count > 1 && count <= maxSteps && size / count >= 4) out.push({ count, run })
  }
  const last = dims[dims.length - 1] ?? 1
  for (const block of blockSizes) {
    const count = size / block
    if (last > block && last % block === 0 && count <= maxSteps) out.push({ count, run: block })
  }
  return out
}

function inLattices(
  values: Floats,
  { count, run }: Arrangement,
  find: (part: Floats) => Lattice | undefined,
): Steps | undefined {
  const lattices: Lattice[] = []
  for (let index = 0; index < count; index++) {
    const lattice = find(partOf(values, index, count, run))
    if (!lattice) return undefined
    lattices.push(lattice)
  }
  return onGrid(values, lattices, run)
}

function inTwoRoundings(values: Float32Array, { count, run }: Arrangement): Steps | undefined {
  const parts = function* (): Generator<Float32Array> {
    for (let i = 0; i < count; i++) yield partOf(values, i, count, run)
  }
  const found = formOf(parts)
  return found && { ...found, second: found.minima, run, integers: onForm(values, found, run) }
}

/** The values that share a step: those of index `index` of `count`, `run` elements in a row; all where `run` is 0. */
function partOf<T extends Floats>(values: T, index: number, count: number, run: number): T {
  if (run === 0) return values
  const part = values.slice(0, values.length / count) as T
  let used = 0
  for (let from = index * run; from < values.length; from += count * run)
    for (let i = from; i < from + run; i++) part[used++] = values[i]
  return part
}

function onGrid(values: Floats, lattices: readonly Lattice[], run: number): Steps {
  const integers = new Int32Array(values.length)
  for (let i = 0; i < values.length; i++) {
    const { step, zero } = lattices[run > 0 ? Math.floor(i / run) % lattices.length : 0]
    if (step !== 0) integers[i] = Math.round(values[i] / step + zero)
  }
  const second = lattices.some(({ zero }) => zero !== 0) ? lattices.map(({ zero }) => zero) : undefined
  return { steps: lattices.map(({ step }) => step), run, second, integers }
}

/** Whole numbers divided by a power of ten. */
function inDecimals(values: Floats, levels: number): Steps {
  const integers = Int32Array.from(values, (v) => Math.round(v * levels))
  return { steps: [1], run: 0, form: { kind: 'product', levels }, integers }
}

/** The least power of ten that makes all values whole numbers; of doubles nearly, as sums of decimals are. */
function findDecimal(values: Floats, { round, unit, maxInteger, maxDecimal }: Precision): number | undefined {
  const most = maxDecimal ?? maxInteger
  const slack = maxDecimal ? 4 * unit : 0
  let power = 1
  for (const v of values) {
    for (;;) {
      const q = Math.round(v * power)
      if (Math.abs(q) <= most && Math.abs(round(q / power) - v) <= slack * Math.abs(v)) break
      if (!(Math.abs(q) <= most) || power >= 1e9) return undefined
      power *= 10
    }
  }
  return power
}

/** A grid that values are near, as if rounded twice; through 0 if there is one. */
function nearLattice(values: Floats, precision: Precision): Lattice | undefined {
  const all = distinctOf(values, (v) => v)
  if (!all) return undefined
  const magnitudes = distinctOf(values, Math.abs) as Float64Array
  if (magnitudes[0] === 0 && magnitudes.length === 1) return { step: 0, zero: 0 }
  const sorted = magnitudes[0] === 0 ? magnitudes.subarray(1) : magnitudes
  const largest = sorted[sorted.length - 1]
  for (let q = sorted.length; q <= mostLevels; q++) {
    if (!nearlyWhole(sorted, largest / q, 8 * precision.unit)) continue
    const bounds = boundsOf(sorted, largest / q, { ...precision, unit: 2.5 * precision.unit })
    if (bounds) return { step: bestStep(sorted, [largest / q, ...between(bounds)], precision), zero: 0 }
  }
  return besideZero(all, precision)
}

/** Steps within bounds, the middle first. */
function between([low, high]: readonly [number, number]): number[] {
  return [0.5, 0.25, 0.75, 0.375, 0.625].map((share) => low + (high - low) * share)
}

/** The step that gives most values exactly. */
function bestStep(sorted: Float64Array, steps: readonly number[], { round }: Precision): number {
  const exact = (step: number): number =>
    sorted.reduce((n, v) => n + (round(Math.round(v / step) * step) === v ? 1 : 0), 0)
  const counts = steps.map(exact)
  return steps[counts.indexOf(Math.max(...counts))]
}

/** A grid that need not go through 0, near sorted distinct values. */
function besideZero(sorted: Float64Array, { unit }: Precision): Lattice | undefined {
  const last = sorted.length - 1
  const range = sorted[last] - sorted[0]
  const error = 4 * unit * Math.max(Math.abs(sorted[0]), Math.abs(sorted[last]))
  for (let q = last; q <= mostLevels; q++) {
    const step = range / q
    if (error > 0.1 * step) return undefined
    const least = sorted[0]
    if (!sorted.every((v) => Math.abs(v - least - Math.round((v - least) / step) * step) <= error)) continue
    // The value nearest 0 tells where the grid has its 0 most exactly.
    const nearest = sorted.reduce((a, b) => (Math.abs(b) < Math.abs(a) ? b : a))
    return { step, zero: -nearest / step }
  }
  return undefined
}

/** The distinct values of a part, in order; undefined where there are too many, or some are not finite. */
function distinctOf(part: Floats, of: (v: number) => number): Float64Array | undefined {
  const found = new Set<number>()
  for (const v of part) {
    if (!Number.isFinite(v)) return undefined
    found.add(of(v))
    if (found.size > mostLevels + 1 || found.size > 64 + part.length / 2) return undefined
  }
  return Float64Array.from(found).sort()
}

export interface StepOptions {
  /** Whether -0 counts as a multiple. */
  readonly negativeZero?: boolean
  /** Whether the step may be a float64 where no float32 fits. */
  readonly double?: boolean
  /** Whether nearly every value may be another, of which no coding gains much but integers of fewer bits do. */
  readonly manyValues?: boolean
}

const anyStep: StepOptions = { negativeZero: true, double: true }

/** The float32 step of which every value is a float32-rounded whole multiple, or undefined. All zeros: 0. */
export function findStep(
  values: Floats,
  { negativeZero = false, double = false, manyValues = false }: StepOptions = {},
  precision = single,
): number | undefined {
  const magnitudes = new Set<number>()
  for (const v of values) {
    if (v === 0 ? !negativeZero && Object.is(v, -0) : !Number.isFinite(v)) return undefined
    magnitudes.add(Math.abs(v))
    if (magnitudes.size > maxDistinct || (!manyValues && magnitudes.size > 64 + values.length / 2)) return undefined
  }
  magnitudes.delete(0)
  if (magnitudes.size === 0) return 0
  const sorted = Float64Array.from(magnitudes).sort()
  const largest = sorted[sorted.length - 1]
  // Few levels: the largest value is one of few multiples, and tells the step most exactly.
  if (sorted.length <= fewLevels) {
    for (let q = sorted.length; q <= fewLevels; q++) {
      if (!nearlyWhole(sorted, largest / q, 8 * precision.unit)) continue
      const step = refine(sorted, largest / q, { double, precision })
      if (step !== undefined) return step
    }
  }
  // Many: the smallest value or the smallest gap is a small multiple of the step; large values then make it exact.
  let gap = sorted[0]
  for (let i = 1; i < sorted.length; i++) gap = Math.min(gap, sorted[i] - sorted[i - 1])
  const bases = gap > sorted[0] * 2 ** -12 ? [gap, sorted[0]] : [sorted[0]]
  for (const base of bases) {
    for (let k = 1; k <= 8; k++) {
      const step = refine(sorted, base / k, { double, precision })
      if (step !== undefined) return step
    }
  }
  return undefined
}

function nearlyWhole(sorted: Float64Array, step: number, share: number): boolean {
  for (let i = 0; i < sorted.length; i++) {
    const r = sorted[i] / step
    if (Math.abs(r - Math.round(r)) > r * share || r < 0.5) return false
  }
  return true
}

/** All steps, from a guess within a few per cent, that agree with the values but for a relative error of `unit`; smallest values first. */
function boundsOf(
  sorted: Float64Array,
  guess: number,
  { unit, maxInteger }: Precision,
): [low: number, high: number] | undefined {
  let low = guess * 0.9
  let high = guess * 1.1
  for (const v of sorted) {
    const q = Math.round(v / ((low + high) / 2))
    if (q < 1 || q > maxInteger) return undefined
    low = Math.max(low, (v * (1 - unit)) / q)
    high = Math.min(high, (v * (1 + unit)) / q)
    if (low > high) return undefined
  }
  return [low, high]
}

/** The float nearest the middle of all steps that agree with the values. */
function refine(
  sorted: Float64Array,
  guess: number,
  { double, precision }: { readonly double: boolean; readonly precision: Precision },
): number | undefined {
  const bounds = boundsOf(sorted, guess, precision)
  if (!bounds) return undefined
  const [low, high] = bounds
  // The floats from the middle of the interval outwards: the first that gives every value is as good as any.
  const middle = (low + high) / 2
  const fits = (step: number) => step > 0 && sorted.every((v) => precision.round(Math.round(v / step) * step) === v)
  for (let i = 0; i < 64; i++) {
    const step = floatNear(middle, i % 2 ? (i + 1) / 2 : -i / 2)
    if (i > 2 && (step < low * 0.999999 || step > high * 1.000001)) break
    if (fits(step)) return step
  }
  if (!double) return undefined
  for (let i = -8; i <= 8; i++) if (fits(middle * (1 + i * 2 ** -53))) return middle * (1 + i * 2 ** -53)
  return undefined
}
