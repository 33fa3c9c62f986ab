/** Grids: a value with variables in it, written out for every combination of what they stand for. */
import { didYouMean } from '../errors.ts'

export interface Filled {
  readonly value: unknown
  /** `values=8` for each variable. */
  readonly words: readonly string[]
}

/**
 * Puts every combination of a grid's values in place of texts such as `$values`. Throws one sentence where a variable stands
 * for nothing, or is not used.
 */
export function withVariables(value: unknown, grid: unknown, subject: string): Filled[] {
  const variables = gridOf(grid, subject)
  const used = new Set<string>()
  visit(value, (name) => {
    if (!variables.has(name))
      throw new Error(
        `${subject}: "$${name}" stands for nothing${didYouMean(name, variables.keys())}; expected a variable of "grid"`,
      )
    used.add(name)
    return undefined
  })
  for (const name of variables.keys())
    if (!used.has(name))
      throw new Error(`${subject}: no step uses "$${name}"; expected it in place of an option's value`)
  let combinations: readonly (readonly (readonly [string, unknown])[])[] = [[]]
  for (const [name, values] of variables)
    combinations = combinations.flatMap((before) => values.map((v) => [...before, [name, v] as const]))
  return combinations.map((combination) => {
    const chosen = new Map(combination)
    return {
      value: visit(value, (name) => chosen.get(name)),
      words: combination.map(([name, v]) => `${name}=${typeof v === 'string' ? v : JSON.stringify(v)}`),
    }
  })
}

function gridOf(grid: unknown, subject: string): Map<string, readonly unknown[]> {
  if (grid === undefined) return new Map()
  if (typeof grid !== 'object' || grid === null || Array.isArray(grid))
    throw new Error(`${subject}: "grid" is ${JSON.stringify(grid)}; expected a list of values for each variable`)
  for (const [name, values] of Object.entries(grid))
    if (!Array.isArray(values) || values.length === 0)
      throw new Error(`${subject}: "${name}" of "grid" is ${JSON.stringify(values)}; expected a list of values`)
  return new Map(Object.entries(grid))
}

/** The same value, with what `replace` gives in place of each variable. */
function visit(value: unknown, replace: (name: string) => unknown): unknown {
  if (typeof value === 'string') return value.startsWith('$') ? replace(value.slice(1)) : value
  if (Array.isArray(value)) return value.map((v) => visit(v, replace))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, visit(v, replace)]))
}
