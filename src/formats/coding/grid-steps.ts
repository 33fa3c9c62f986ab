/**
 * Finds the grid that values lie on, exactly: steps s such that each value is a whole number times its step, rounded once to
 * the values' precision; or one of the forms in two roundings of grid-forms.ts.
 */
import { type Form, floatNear, formOf, onForm } from './grid-forms.ts'

export type Floats = Float32Array | Float64Array

/** Integers beyond this are as costly as floats. */
const maxInteger = 1 << 20
const maxDistinct = 1 << 16
/** Integers that the largest value may be, tried one by one. */
const fewLevels = 256
/** Elements of a block that shares a step, along the last dimension. */
const blockSizes = [32, 128, 64, 16, 256]
/** Steps that a table may hold. */
const maxSteps = 1 << 16

export interface Steps {
  readonly steps: readonly number[]
  /** How many elements in a row share a step; 0 where all do. */
  readonly run: number
  /** Values are integers by the step, not times it. */
  readonly divide: boolean
  /** How values come of integers and steps, if not by one product or quotient. */
  readonly form?: Form
  /** What is added to each product where the form says so, as many as steps. */
  readonly minima?: readonly number[]
  readonly integers: Int32Array
}

export function findSteps(values: Floats, dims: readonly number[]): Steps | undefined {
  const whole = findStep(values, anyStep)
  if (whole !== undefined) return onGrid(values, [whole], 0, false)
  const decimal = findDecimal(values)
  if (decimal !== undefined) return onGrid(values, [decimal], 0, true)
  const rows = arrangements(dims, values.length)
  for (const { count, run } of rows) {
    const steps = stepsOf(values, count, run)
    if (steps) return onGrid(values, steps, run, false)
  }
  if (values instanceof Float64Array) return undefined
  for (const { count, run } of [{ count: 1, run: 0 }, ...rows]) {
    const found = inTwoRoundings(values, count, run)
    if (found) return found
  }
  return undefined
}

function inTwoRoundings(values: Float32Array, count: number, run: number): Steps | undefined {
  const parts = function* (): Generator<Float32Array> {
    for (let i = 0; i < count; i++) yield partOf(values, i, count, run)
  }
  const found = formOf(parts)
  return found && { ...found, run, divide: false, integers: onForm(values, found, run) }
}

/** How steps may lie: one for each index of a dimension, or one a block of the last. */
function arrangements(dims: readonly number[], size: number): { count: number; run: number }[] {
  const out: { count: number; run: number }[] = []
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

function stepsOf(values: Floats, count: number, run: number): number[] | undefined {
  const steps: number[] = []
  for (let index = 0; index < count; index++) {
    const step = findStep(partOf(values, index, count, run), anyStep)
    if (step === undefined) return undefined
    steps.push(step)
  }
  // Where each element might have a step of its own, there is no grid.
  return values.length > count ? steps : undefined
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

function onGrid(values: Floats, steps: readonly number[], run: number, divide: boolean): Steps | undefined {
  const integers = new Int32Array(values.length)
  const round = values instanceof Float64Array ? (x: number) => x : Math.fround
  for (let i = 0; i < values.length; i++) {
    if (values[i] === 0) continue
    const step = steps[run > 0 ? Math.floor(i / run) % steps.length : 0]
    const q = Math.round(divide ? values[i] * step : values[i] / step)
    if (round(divide ? q / step : q * step) !== values[i]) return undefined
    integers[i] = q
  }
  return { steps, run, divide, integers }
}

/** The least power of ten that makes all values whole numbers. */
function findDecimal(values: Floats): number | undefined {
  const round = values instanceof Float64Array ? (x: number) => x : Math.fround
  let power = 1
  for (const v of values) {
    for (;;) {
      const q = Math.round(v * power)
      if (Math.abs(q) <= maxInteger && round(q / power) === v) break
      if (Math.abs(q) > maxInteger || power >= 1e6) return undefined
      power *= 10
    }
  }
  return power
}

export interface StepOptions {
  /** Whether -0 counts as a multiple. */
  readonly negativeZero?: boolean
  /** Whether the step may be a float64 where no float32 fits. */
  readonly double?: boolean
}

const anyStep: StepOptions = { negativeZero: true, double: true }

/** The float32 step of which every value is a float32-rounded whole multiple, or undefined. All zeros: 0. */
export function findStep(
  values: Floats,
  { negativeZero = false, double = false }: StepOptions = {},
): number | undefined {
  const magnitudes = new Set<number>()
  const isDouble = values instanceof Float64Array
  for (const v of values) {
    if (v === 0 ? !negativeZero && Object.is(v, -0) : !Number.isFinite(v)) return undefined
    magnitudes.add(Math.abs(v))
    if (magnitudes.size > maxDistinct || magnitudes.size > 64 + values.length / 2) return undefined
  }
  magnitudes.delete(0)
  if (magnitudes.size === 0) return 0
  const sorted = Float64Array.from(magnitudes).sort()
  const largest = sorted[sorted.length - 1]
  // Few levels: the largest value is one of few multiples, and tells the step most exactly.
  if (sorted.length <= fewLevels) {
    for (let q = sorted.length; q <= fewLevels; q++) {
      if (!nearlyWhole(sorted, largest / q)) continue
      const step = refine(sorted, largest / q, { double, isDouble })
      if (step !== undefined) return step
    }
  }
  // Many: the smallest value or the smallest gap is a small multiple of the step; large values then make it exact.
  let gap = sorted[0]
  for (let i = 1; i < sorted.length; i++) gap = Math.min(gap, sorted[i] - sorted[i - 1])
  const bases = gap > sorted[0] * 2 ** -12 ? [gap, sorted[0]] : [sorted[0]]
  for (const base of bases) {
    for (let k = 1; k <= 8; k++) {
      const step = refine(sorted, base / k, { double, isDouble })
      if (step !== undefined) return step
    }
  }
  return undefined
}

function nearlyWhole(sorted: Float64Array, step: number): boolean {
  for (let i = 0; i < sorted.length; i++) {
    const r = sorted[i] / step
    if (Math.abs(r - Math.round(r)) > r * 2 ** -21 || r < 0.5) return false
  }
  return true
}

/** The float nearest the middle of all steps that agree with the values, from a guess within a few per cent; smallest values first. */
function refine(
  sorted: Float64Array,
  guess: number,
  { double, isDouble }: { readonly double: boolean; readonly isDouble: boolean },
): number | undefined {
  let low = guess * 0.9
  let high = guess * 1.1
  // Half a unit in the last place, at most; of doubles twice that, since the bounds are rounded too.
  const rounding = isDouble ? 2 ** -52 : 2 ** -24
  for (const v of sorted) {
    const q = Math.round(v / ((low + high) / 2))
    if (q < 1 || q > maxInteger) return undefined
    low = Math.max(low, (v * (1 - rounding)) / q)
    high = Math.min(high, (v * (1 + rounding)) / q)
    if (low > high) return undefined
  }
  // The floats from the middle of the interval outwards: the first that gives every value is as good as any.
  const middle = (low + high) / 2
  const round = isDouble ? (x: number) => x : Math.fround
  const fits = (step: number) => step > 0 && sorted.every((v) => round(Math.round(v / step) * step) === v)
  for (let i = 0; i < 64; i++) {
    const step = floatNear(middle, i % 2 ? (i + 1) / 2 : -i / 2)
    if (i > 2 && (step < low * 0.999999 || step > high * 1.000001)) break
    if (fits(step)) return step
  }
  if (!double) return undefined
  for (let i = -8; i <= 8; i++) if (fits(middle * (1 + i * 2 ** -53))) return middle * (1 + i * 2 ** -53)
  return undefined
}
