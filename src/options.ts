/**
 * Option tables. One table makes a method's types, defaults, checks, command-line flags and reference page.
 */
import { didYouMean } from './errors.ts'

export type OptionDef =
  | {
      readonly type: 'number'
      readonly default: number
      readonly min?: number
      readonly max?: number
      readonly integer?: boolean
      readonly help: string
    }
  | { readonly type: 'choice'; readonly of: readonly string[]; readonly default: string; readonly help: string }
  | { readonly type: 'boolean'; readonly default: boolean; readonly help: string }
  | { readonly type: 'string'; readonly default: string; readonly help: string }
  | { readonly type: 'strings'; readonly default: readonly string[]; readonly help: string }
  /** A number for each name, such as a step for each tensor. */
  | { readonly type: 'numbers-by-name'; readonly default: Readonly<Record<string, number>>; readonly help: string }

export type OptionTable = Readonly<Record<string, OptionDef>>

type ValueOf<D extends OptionDef> = D extends { type: 'number' }
  ? number
  : D extends { type: 'choice'; of: readonly (infer C)[] }
    ? C
    : D extends { type: 'boolean' }
      ? boolean
      : D extends { type: 'string' }
        ? string
        : D extends { type: 'strings' }
          ? readonly string[]
          : Readonly<Record<string, number>>

export type OptionsOf<T extends OptionTable> = { readonly [K in keyof T]: ValueOf<T[K]> }

/** Fills in defaults and checks every value; `subject` (the method's id) begins each error. */
export function checkOptions<T extends OptionTable>(
  subject: string,
  table: T,
  given: Partial<OptionsOf<T>> = {},
): OptionsOf<T> {
  const known = Object.keys(table)
  for (const name of Object.keys(given)) {
    if (!(name in table))
      throw new Error(
        `${subject}: there is no option "${name}"${didYouMean(name, known)}; expected ${known.join(', ') || 'none'}`,
      )
  }
  const checked: Record<string, unknown> = {}
  for (const [name, def] of Object.entries(table)) {
    const value = (given as Record<string, unknown>)[name] ?? def.default
    checkOption(`${subject}: ${name}`, def, value)
    checked[name] = value
  }
  return checked as OptionsOf<T>
}

function checkOption(subject: string, def: OptionDef, value: unknown): void {
  const got = typeof value === 'object' ? JSON.stringify(value) : String(value)
  switch (def.type) {
    case 'number': {
      const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, integer } = def
      if (typeof value !== 'number' || !(value >= min && value <= max))
        throw new Error(`${subject} must be a number within [${min}, ${max}], got ${got}`)
      if (integer && !Number.isInteger(value)) throw new Error(`${subject} must be a whole number, got ${got}`)
      return
    }
    case 'choice':
      if (!def.of.includes(value as string))
        throw new Error(`${subject} must be one of ${def.of.join(', ')}, got ${got}${didYouMean(got, def.of)}`)
      return
    case 'boolean':
      if (typeof value !== 'boolean') throw new Error(`${subject} must be true or false, got ${got}`)
      return
    case 'string':
      if (typeof value !== 'string') throw new Error(`${subject} must be a text, got ${got}`)
      return
    case 'strings':
      if (!Array.isArray(value) || value.some((v) => typeof v !== 'string'))
        throw new Error(`${subject} must be a list of texts, got ${got}`)
      return
    case 'numbers-by-name':
      if (
        typeof value !== 'object' ||
        value === null ||
        Object.values(value).some((v) => typeof v !== 'number' || !Number.isFinite(v))
      ) {
        throw new Error(`${subject} must map names to numbers, got ${got}`)
      }
  }
}
