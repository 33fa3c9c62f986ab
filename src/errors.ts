/**
 * Errors are plain sentences: `subject: what is wrong; what was expected; where`.
 * The one subclass says that the input is fine but outside what coppice knows, so that a sweep can catch it and go on.
 */

/** The input is valid, as far as it was read, but coppice has no rule for it. */
export class UnsupportedError extends Error {
  override name = 'UnsupportedError'
}

/** The user asked to stop (Ctrl-C, an aborted signal). */
export class AbortError extends Error {
  override name = 'AbortError'
}

/** Throws an AbortError where the user asked to stop; `subject` is what was being done. */
export function stopIfAborted(signal: AbortSignal | undefined, subject: string): void {
  if (signal?.aborted) throw new AbortError(`${subject}: stopped on request`)
}

/** The nearest of `known` to a mistyped `word`, as `; did you mean "x"?`, or an empty string. */
export function didYouMean(word: string, known: Iterable<string>): string {
  let best = ''
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best ? `; did you mean "${best}"?` : ''
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]
}
