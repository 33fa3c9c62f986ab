/** Rows that no other beats. */

/** Less of `cost` and more of `score` is better. */
export interface Point {
  readonly cost: number
  readonly score: number
}

/** Those that no other is at least as good as in both and better in one, from the cheapest on; of equal ones the first. */
export function paretoFront<P extends Point>(points: readonly P[]): P[] {
  const sorted = [...points].sort((a, b) => a.cost - b.cost || b.score - a.score)
  let best = Number.NEGATIVE_INFINITY
  return sorted.filter(({ score }) => {
    const isBetter = score > best
    if (isBetter) best = score
    return isBetter
  })
}
