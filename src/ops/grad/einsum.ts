/**
 * The backward rule of Einsum: the gradient of an input is the Einsum of the output's gradient and the other inputs,
 * with the input's own axes as its output.
 */
import { UnsupportedError } from '../../errors.ts'
import { describe, stringAttribute } from '../../graph/walk.ts'
import { parseEquation } from '../einsum.ts'
import { type Emitter, expand, reshape, unbroadcast } from './emit.ts'
import type { GradRule } from './rule.ts'

const einsum: GradRule = (g, at) => {
  const given = stringAttribute(at.node, 'equation', '')
  const { terms, output } = parseEquation(
    given,
    at.x.map((x) => g.shape(x).length),
  )
  if (terms.some((term) => new Set(term).size < term.length))
    throw new UnsupportedError(
      `${describe(at.node)}: its equation "${given}" repeats a letter within one input (a diagonal), which has no gradient; expected each letter once per input`,
    )
  const sizes = new Map<string, number>()
  terms.forEach((term, i) => {
    for (const [k, letter] of [...term].entries())
      sizes.set(letter, Math.max(sizes.get(letter) ?? 1, g.shape(at.x[i])[k]))
  })
  return at.x.map((x, i) => {
    if (!at.needs(i)) return undefined
    const others = at.x.flatMap((_, k) => (k === i ? [] : [k]))
    const sources = [output, ...others.map((k) => terms[k])]
    // Letters that are nowhere else were summed over: every element gets the same.
    const found = [...terms[i]].filter((letter) => sources.some((s) => s.includes(letter)))
    const equation = `${sources.join(',')}->${found.join('')}`
    const shape = found.map((letter) => largest(g, letter, [at.dy, ...others.map((k) => at.x[k])], sources))
    const alone = sources.length === 1 && output === found.join('')
    const values = [at.dy, ...others.map((k) => at.x[k])]
    const gradient = alone ? at.dy : g.op('Einsum', values, { attributes: { equation }, shape })
    const whole = [...terms[i]].map((letter) => sizes.get(letter) as number)
    const opened = reshape(
      g,
      gradient,
      [...terms[i]].map((letter) => (found.includes(letter) ? shape[found.indexOf(letter)] : 1)),
    )
    return unbroadcast(g, expand(g, opened, whole), g.shape(x))
  })
}

/** The size of a letter's axis among some values: those of 1 broadcast. */
function largest(g: Emitter, letter: string, values: readonly string[], terms: readonly string[]): number {
  return Math.max(...values.map((v, i) => (terms[i].includes(letter) ? g.shape(v)[terms[i].indexOf(letter)] : 1)))
}

export const einsumRules: Readonly<Record<string, GradRule>> = { Einsum: einsum }
