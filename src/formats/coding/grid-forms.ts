/**
 * Grids in two roundings, as dequantising code makes them in float32: a quotient times the largest value, (q / L) * m; the same in
 * the other order, (q * m) / L; a product and the least value, q * s + b. Found exactly, bit for bit, or not at all.
 */
/** What is rounded first: q by the levels; q times the step; the latter, with the minimum then added. */
export type FormKind = 'quotient' | 'product' | 'affine'

export interface Form {
  readonly kind: FormKind
  /** L; 0 for affine. */
  readonly levels: number
}

/** A form of all parts of a tensor, with a step and, for affine, a minimum for each. */
export interface FormSteps {
  readonly form: Form
  readonly steps: readonly number[]
  readonly minima?: readonly number[]
}

/** Levels of quantisers of 2 to 8 bits, beside the integer of a part's largest value. */
const usualLevels = [127, 7, 255, 15, 3, 31, 63]
/** The largest integer, and distinct values of a part, that are looked for. */
const mostLevels = 256
/** Floats on either side of a guess that are tried. */
const reach = 8

/** A value of its integer. Decoders do the same (grid.ts). */
export function formed({ kind, levels }: Form, q: number, step: number, minimum: number): number {
  if (kind === 'quotient') return Math.fround(Math.fround(q / levels) * step)
  const product = Math.fround(q * step)
  return kind === 'product' ? Math.fround(product / levels) : Math.fround(product + minimum)
}

/** The integers of values that lie on a form. */
export function onForm(values: Float32Array, { form, steps, minima }: FormSteps, run: number): Int32Array {
  return Int32Array.from(values, (v, i) => {
    const at = run > 0 ? Math.floor(i / run) % steps.length : 0
    return integerOf(form, v, steps[at], minima?.[at] ?? 0)
  })
}

function integerOf({ kind, levels }: Form, v: number, step: number, minimum: number): number {
  if (step === 0) return 0
  return Math.round(kind === 'affine' ? (v - minimum) / step : (v / step) * levels)
}

/** The form that all parts share, if there is one. */
export function formOf(parts: () => Iterable<Float32Array>): FormSteps | undefined {
  return scaled(parts) ?? affine(parts)
}

interface Guess {
  readonly form: Form
  readonly step: number
}

function scaled(parts: () => Iterable<Float32Array>): FormSteps | undefined {
  const all: Float64Array[] = []
  for (const part of parts()) {
    const magnitudes = distinct(part, Math.abs)
    // Weights that never lay on a grid are recognised by their first parts: the others are many.
    if (!magnitudes || (all.length < looked && fitsNone(magnitudes))) return undefined
    all.push(magnitudes)
  }
  // Parts of few values fit many forms, of which those of most values leave few: they are asked first.
  const order = all.map((_, i) => i).sort((a, b) => all[b].length - all[a].length)
  const tried = new Set<string>()
  for (const { form } of scales(all[order[0]])) {
    const name = `${form.kind} ${form.levels}`
    if (tried.has(name)) continue
    tried.add(name)
    const steps = stepsOf(form, all, order)
    if (steps) return { form, steps }
  }
  return undefined
}

/** Parts that are tried for any form before all are read. */
const looked = 4

function fitsNone(magnitudes: Float64Array): boolean {
  return magnitudes.length > 0 && scales(magnitudes).next().done === true
}

/** The step of each part on a form, looked for in this order. */
function stepsOf(form: Form, parts: readonly Float64Array[], order: readonly number[]): number[] | undefined {
  const steps = parts.map(() => 0)
  for (const i of order) {
    if (parts[i].length === 0) continue
    const [guess] = scales(parts[i], form)
    if (!guess) return undefined
    steps[i] = guess.step
  }
  return steps
}

/** The forms and steps that give these magnitudes, from the least integer of the largest on. */
function* scales(sorted: Float64Array, known?: Form): Generator<Guess> {
  if (sorted.length === 0) return
  const largest = sorted[sorted.length - 1]
  for (let q = sorted.length; q <= mostLevels; q++) {
    const unit = largest / q
    if (!isNear(sorted, unit, 2 ** -22)) continue
    for (const form of known ? [known] : formsOf(q)) {
      for (let i = -reach; i <= reach; i++) {
        const step = floatNear(unit * form.levels, i)
        if (sorted.every((v) => formed(form, Math.round(v / unit), step, 0) === v)) {
          yield { form, step }
          break
        }
      }
    }
  }
}

function formsOf(q: number): Form[] {
  const levels = [q, ...usualLevels.filter((l) => l !== q)]
  return levels.flatMap((l): Form[] => [
    { kind: 'quotient', levels: l },
    { kind: 'product', levels: l },
  ])
}

function affine(parts: () => Iterable<Float32Array>): FormSteps | undefined {
  const form: Form = { kind: 'affine', levels: 0 }
  const steps: number[] = []
  const minima: number[] = []
  for (const part of parts()) {
    if (part.some((v) => Object.is(v, -0))) return undefined
    const values = distinct(part, (v) => v)
    const step = values && affineStep(form, values)
    if (step === undefined) return undefined
    steps.push(step)
    minima.push((values as Float64Array)[0])
  }
  return { form, steps, minima }
}

function affineStep(form: Form, sorted: Float64Array): number | undefined {
  const least = sorted[0]
  if (sorted.length === 1) return 0
  const last = sorted[sorted.length - 1]
  const range = last - least
  const error = Math.max(Math.abs(least), Math.abs(last)) * 2 ** -23
  const above = sorted.map((v) => v - least)
  for (let q = sorted.length - 1; q <= mostLevels; q++) {
    const unit = range / q
    if (error > 0.1 * unit) return undefined
    if (!above.every((d) => Math.abs(d - Math.round(d / unit) * unit) <= 2 * error)) continue
    for (let i = 0; i <= 4 * reach; i++) {
      const step = floatNear(unit, i % 2 ? (i + 1) / 2 : -i / 2)
      if (sorted.every((v) => formed(form, Math.round((v - least) / unit), step, least) === v)) return step
    }
  }
  return undefined
}

/** Whether all are whole multiples of a unit but for a share of them. */
function isNear(sorted: Float64Array, unit: number, share: number): boolean {
  return sorted.every((v) => Math.abs(v - Math.round(v / unit) * unit) <= v * share && v >= 0.5 * unit)
}

/** The distinct values but 0 of magnitudes, or all; undefined where there are too many, or some are not finite. */
function distinct(part: Float32Array, of: (v: number) => number): Float64Array | undefined {
  const found = new Set<number>()
  for (const v of part) {
    if (!Number.isFinite(v)) return undefined
    found.add(of(v))
    if (found.size > mostLevels + 1 || found.size > 64 + part.length / 2) return undefined
  }
  if (of === Math.abs) found.delete(0)
  return Float64Array.from(found).sort()
}

const word = new DataView(new ArrayBuffer(4))

/** The float32 that is so many steps above the one nearest a positive number. */
export function floatNear(x: number, steps: number): number {
  word.setFloat32(0, x)
  word.setInt32(0, word.getInt32(0) + steps)
  return word.getFloat32(0)
}
