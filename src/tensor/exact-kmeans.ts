/**
 * The k means of one-dimensional values with the least squared error there is. Clusters are intervals of the sorted values, so
 * a clustering is a path over their ends. The least error falls ever more slowly with k, so for a price per cluster the best
 * path of any length is the best of its length: the price is searched that gives k (Grønlund et al. 2017, arXiv:1701.07204,
 * section 2.3). A path takes n log n steps, as the cheapest last interval only moves to the right. Where two lengths cost
 * the same at a price, a path in between is put together from both (Aggarwal, Schieber, Tokuyama 1994, section 3).
 */

/** `sorted` ascending, finite, not empty. At most k centres, ascending; fewer where there are fewer distinct values. */
export function exactKmeans1d(sorted: Float64Array, k: number): Float64Array {
  const points = countedPoints(sorted)
  if (points.size <= k) return points.values.slice(0, points.size)
  const ends = endsOf(points, k)
  return Float64Array.from({ length: ends.length - 1 }, (_, c) => points.mean(ends[c], ends[c + 1]))
}

interface Points {
  readonly size: number
  /** Distinct, ascending. */
  readonly values: Float64Array
  /** Of the points i to j - 1. */
  mean(i: number, j: number): number
  /** Squared error of the points i to j - 1 around their mean. */
  cost(i: number, j: number): number
}

function countedPoints(sorted: Float64Array): Points {
  // Around the middle, so that sums of squares lose few digits.
  const middle = sorted[sorted.length >> 1]
  const values = new Float64Array(sorted.length)
  const counts = new Float64Array(sorted.length + 1)
  const sums = new Float64Array(sorted.length + 1)
  const squares = new Float64Array(sorted.length + 1)
  let size = 0
  for (let from = 0, to = 0; from < sorted.length; from = to) {
    while (to < sorted.length && sorted[to] === sorted[from]) to++
    const centred = sorted[from] - middle
    values[size] = sorted[from]
    counts[size + 1] = to
    sums[size + 1] = sums[size] + (to - from) * centred
    squares[size + 1] = squares[size] + (to - from) * centred * centred
    size++
  }
  return {
    size,
    values,
    mean: (i, j) => middle + (sums[j] - sums[i]) / (counts[j] - counts[i]),
    cost(i, j) {
      const sum = sums[j] - sums[i]
      return Math.max(0, squares[j] - squares[i] - (sum * sum) / (counts[j] - counts[i]))
    },
  }
}

/** The ends of the k intervals: 0, ..., size. At a price of 0 each point is one, at `total` all are. */
function endsOf(points: Points, k: number): number[] {
  const total = points.cost(0, points.size)
  let more = Array.from({ length: points.size + 1 }, (_, i) => i)
  let fewer = [0, points.size]
  // Errors fall with the square of k for many, so prices with its cube: the next price is guessed from that.
  let [low, high] = [total * 1e-18, total]
  let price = Math.min(total / 2, (5 * total) / k ** 3)
  for (let round = 0; round < 200 && high > low * (1 + 1e-14); round++) {
    const path = cheapestPath(points, price)
    const found = path.length - 1
    if (found === k) return path
    if (found > k) [low, more] = [price, path]
    else [high, fewer] = [price, path]
    price *= (found / k) ** 3
    if (round >= 12 || price <= low || price >= high) price = Math.sqrt(low * high)
  }
  return between(fewer, more, k)
}

/** The path of least error plus `price` per interval, as its ends. */
function cheapestPath({ size, cost }: Points, price: number): number[] {
  const least = new Float64Array(size + 1)
  const before = new Int32Array(size + 1)
  // Beginnings of the last interval, and from which end on each is the cheapest of those so far.
  const begins = new Int32Array(size + 1)
  const from = new Int32Array(size + 1)
  let [first, last] = [0, 0]
  from[0] = 1
  for (let end = 1; end <= size; end++) {
    while (first < last && from[first + 1] <= end) first++
    before[end] = begins[first]
    least[end] = least[begins[first]] + cost(begins[first], end) + price
    if (end === size) break
    const beats = (other: number, at: number): boolean => least[end] + cost(end, at) < least[other] + cost(other, at)
    while (from[last] > end && beats(begins[last], from[last])) last--
    // Where it begins to be cheaper than the last one left.
    let [no, yes] = [Math.max(end, from[last]), size + 1]
    while (yes - no > 1) {
      const at = (no + yes) >> 1
      if (beats(begins[last], at)) yes = at
      else no = at
    }
    if (yes <= size) {
      last++
      begins[last] = end
      from[last] = yes
    }
  }
  const ends = [size]
  while (ends[ends.length - 1] > 0) ends.push(before[ends[ends.length - 1]])
  return ends.reverse()
}

/** Of two cheapest paths at one price, as long a one of k intervals: the beginning of the short one, then the long one. */
function between(short: readonly number[], long: readonly number[], k: number): number[] {
  const skipped = long.length - 1 - k
  for (let i = 0; i + 1 < short.length; i++) {
    const at = i + 1 + skipped
    if (short[i] <= long[at - 1] && long[at] <= short[i + 1]) return [...short.slice(0, i + 1), ...long.slice(at)]
  }
  return [...short]
}
