/** Reading the equation of an Einsum. */

export interface Equation {
  /** The axes of each input, a letter each. What "..." stands for has capital letters that the equation does not use. */
  readonly terms: readonly string[]
  readonly output: string
  /** The letters of "...", whose sizes may broadcast. */
  readonly ellipsis: string
}

/**
 * `ranks` are those of the inputs, where they are known. Throws a RangeError that says what is wrong with the equation
 * (without naming the node).
 */
export function parseEquation(equation: string, ranks: readonly (number | undefined)[]): Equation {
  const text = equation.replace(/\s/g, '')
  const [left, right] = text.split('->')
  const given = left.split(',')
  if (given.length !== ranks.length)
    throw new RangeError(
      `its equation "${equation}" has ${given.length} terms; expected ${ranks.length}, one per input`,
    )
  const letters = 'ZYXWVUTSRQPONMLKJIHGFEDCBA'.split('').filter((letter) => !text.includes(letter))
  const hidden = given.map((term, i) => {
    if (!term.includes('...')) return 0
    const rank = ranks[i]
    if (rank === undefined) throw new RangeError(`its equation "${equation}" has "..." for an input of unknown rank`)
    const count = rank - (term.length - 3)
    if (count < 0) throw new RangeError(`its equation "${equation}" has too many letters for an input of rank ${rank}`)
    return count
  })
  const most = Math.max(...hidden)
  if (most > letters.length) throw new RangeError(`its equation "${equation}" has no letters left for "..."`)
  const ellipsis = letters.slice(0, most).join('')
  const filled = (term: string, count: number): string => term.replace('...', ellipsis.slice(most - count))
  const terms = given.map((term, i) => filled(term, hidden[i]))
  terms.forEach((term, i) => {
    if (ranks[i] !== undefined && ranks[i] !== term.length)
      throw new RangeError(`its equation "${equation}" gives "${given[i]}" to an input of rank ${ranks[i]}`)
  })
  if (right !== undefined) return { terms, output: filled(right, most), ellipsis }
  const all = terms.join('')
  const once = [...new Set(all)].filter((l) => !ellipsis.includes(l) && all.indexOf(l) === all.lastIndexOf(l))
  return { terms, output: ellipsis + once.sort().join(''), ellipsis }
}
