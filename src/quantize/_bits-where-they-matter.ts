/**
 * How coarsely each of several weights is stored, for a budget of bits in all: each has choices, with the bits that they take
 * and what they cost (such as the KL divergence of the outputs where it alone is changed). Costs are taken to add up.
 *
 * On the lower convex hull of each weight's choices every further bit buys less, so the best spending takes the steps that
 * save most per bit first (Shoham, Gersho 1988; for layers: Hubara et al. 2020, arXiv:2006.10518, section 4).
 */

export interface Choice {
  readonly bits: number
  readonly cost: number
}

/** The place of the choice of each weight. Throws where the cheapest of all take more than the budget. */
export function spendBits(weights: readonly (readonly Choice[])[], budget: number): number[] {
  const hulls = weights.map(lowerHull)
  const chosen = hulls.map(() => 0)
  const at = (w: number, step: number): Choice => weights[w][hulls[w][step]]
  let spent = hulls.reduce((sum, _, w) => sum + at(w, 0).bits, 0)
  if (spent > budget)
    throw new Error(`the budget is ${Math.floor(budget)} bits in all; expected at least ${Math.ceil(spent)}`)
  const steps = hulls.flatMap((hull, w) =>
    hull.slice(1).map((_, i) => {
      const [before, after] = [at(w, i), at(w, i + 1)]
      return { w, bits: after.bits - before.bits, gain: (before.cost - after.cost) / (after.bits - before.bits) }
    }),
  )
  // The steps of one weight stay in order: on a hull each gains less than the one before.
  steps.sort((a, b) => b.gain - a.gain)
  const full = new Set<number>()
  for (const { w, bits } of steps) {
    if (full.has(w)) continue
    if (spent + bits > budget) full.add(w)
    else {
      spent += bits
      chosen[w]++
    }
  }
  return chosen.map((step, w) => hulls[w][step])
}

/** The places of the choices that no mixture of others beats, by rising bits. */
function lowerHull(choices: readonly Choice[]): number[] {
  const order = choices
    .map((_, i) => i)
    .sort((a, b) => choices[a].bits - choices[b].bits || choices[a].cost - choices[b].cost)
  const hull: number[] = []
  const slope = (i: number, j: number): number =>
    (choices[j].cost - choices[i].cost) / (choices[j].bits - choices[i].bits)
  for (const i of order) {
    const last = hull[hull.length - 1]
    if (last !== undefined && (choices[i].bits === choices[last].bits || choices[i].cost >= choices[last].cost))
      continue
    while (hull.length > 1 && slope(hull[hull.length - 2], hull[hull.length - 1]) >= slope(hull[hull.length - 1], i))
      hull.pop()
    hull.push(i)
  }
  return hull
}
