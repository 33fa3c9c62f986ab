/**
 * What whole numbers cost in a packed file, estimated for training.
 *
 * As for the packer's coder (docs/format.md, "Integer streams"), each place of a tensor has an expected magnitude, from the
 * mean magnitudes of its row, its place in the row, its column, and its neighbours. Places with about the same one share
 * statistics, over all tensors: the share p of zeros, and the mean of the magnitudes that are not 0, taken as geometric with
 * ratio θ. A level then takes
 *
 *   -log2 p                                         where it is 0
 *   -log2(1 - p) + 1 - log2(1 - θ) - (m-1) log2 θ   of magnitude m >= 1; the 1 is its sign
 *
 * The bits of a tensor follow from what comes before each place, since that is what a decoder knows. What one level more
 * would cost follows from all other places: log P(x, 1) - log P(x, 0) = log P(1 | x) - log P(0 | x) for the others x, so what
 * comes later counts too.
 */

export interface LevelTensor {
  /** Weights in steps of the grid; their levels are these, rounded. */
  readonly inSteps: Float32Array
  readonly dims: readonly number[]
}

/** Expected magnitudes from 2^lowest up, two bins an octave. */
const lowest = -16
const bins = 40
/** As many elements of the tensor's mean magnitude are thought to be in each row and column. */
const prior = 4

/** About the bits that tensors take together. */
export function codedBits(tensors: readonly LevelTensor[]): number {
  const placed = tensors.map((t) => placedLevels(t, 'before'))
  const statistics = bitsByPlace(placed)
  let bits = 0
  for (const { magnitudes, places } of placed)
    for (const [i, m] of magnitudes.entries()) {
      const { zero, one, more } = statistics[places[i]]
      bits += m === 0 ? zero : one + (m - 1) * more
    }
  return bits
}

/** For each element of each tensor, the bits that a step more of magnitude takes; above 0. */
export function bitsPerStep(tensors: readonly LevelTensor[]): Float32Array[] {
  const placed = tensors.map((t) => placedLevels(t, 'others'))
  const statistics = bitsByPlace(placed)
  return placed.map(({ inSteps, places }) =>
    inSteps.map((v, i) => {
      const { zero, one, more } = statistics[places[i]]
      // Where zeros are rare, weights are not driven away from zero.
      return Math.abs(v) < 1 ? Math.max(one - zero, more) : more
    }),
  )
}

type Known = 'before' | 'others'

interface Placed {
  readonly inSteps: Float32Array
  readonly magnitudes: Int32Array
  /** The bin of each element's expected magnitude. */
  readonly places: Uint8Array
}

function placedLevels({ inSteps, dims }: LevelTensor, known: Known): Placed {
  const magnitudes = Int32Array.from(inSteps, (v) => Math.abs(Math.round(v)))
  return { inSteps, magnitudes, places: placesOf(magnitudes, dims, known) }
}

/** How many rows, places in a row, and places that belong to one column. */
function matrixOf(dims: readonly number[], size: number): { rows: number; width: number; taps: number } {
  if (dims.length < 2) return { rows: 1, width: size, taps: 1 }
  return { rows: dims[0], width: size / dims[0], taps: size / dims[0] / dims[1] }
}

/** How much the row, the place in it, the column and the neighbours say (docs/format.md, "Expected magnitude"). */
const shares = { matrix: [0.65, 0.4, 0, 0.2], kernels: [0.62, 0.45, 0.17, 0.2] } as const

function placesOf(magnitudes: Int32Array, dims: readonly number[], known: Known): Uint8Array {
  const size = magnitudes.length
  const { rows, width, taps } = matrixOf(dims, size)
  const [byRow, byPlace, byColumn, byNeighbours] = shares[taps > 1 ? 'kernels' : 'matrix']
  const sums = { row: new Float64Array(rows), place: new Float64Array(width), column: new Float64Array(width / taps) }
  let all = 0
  const count = (i: number, r: number, p: number): void => {
    const m = magnitudes[i]
    sums.row[r] += m
    sums.place[p] += m
    sums.column[Math.floor(p / taps)] += m
    all += m
  }
  const isOthers = known === 'others'
  if (isOthers) for (let i = 0; i < size; i++) count(i, Math.floor(i / width), i % width)
  const places = new Uint8Array(size)
  for (let i = 0, r = 0; r < rows; r++)
    for (let p = 0; p < width; p++, i++) {
      const own = isOthers ? magnitudes[i] : 0
      const base = (all - own + 0.5) / (isOthers ? size : i + 1)
      const above = (sum: number, seen: number, there: number): number =>
        Math.log2((sum - own + prior * base) / ((isOthers ? there - 1 : seen) + prior) / base)
      const column = Math.floor(p / taps)
      const before = (p > 0 ? magnitudes[i - 1] : 0) + (r > 0 ? magnitudes[i - width] : 0)
      const after = (p + 1 < width ? magnitudes[i + 1] : 0) + (r + 1 < rows ? magnitudes[i + width] : 0)
      const beside = isOthers ? (before + after) / 2 : before
      const expected =
        Math.log2(base) +
        byRow * above(sums.row[r], p, width) +
        byPlace * above(sums.place[p], r, rows) +
        (byColumn && byColumn * above(sums.column[column], r * taps + (p % taps), rows * taps)) +
        byNeighbours * Math.log2((beside / base + 1) / 3)
      places[i] = Math.max(0, Math.min(bins - 1, Math.floor(2 * (expected - lowest))))
      if (!isOthers) count(i, r, p)
    }
  return places
}

interface Bits {
  readonly zero: number
  /** Of magnitude 1, its sign included. */
  readonly one: number
  /** Of each level beyond. */
  readonly more: number
}

/** Statistics of each bin, as bits. */
function bitsByPlace(tensors: readonly Placed[]): readonly Bits[] {
  const [count, others, sum] = [0, 1, 2].map(() => new Float64Array(bins))
  for (const { magnitudes, places } of tensors)
    for (const [i, m] of magnitudes.entries()) {
      count[places[i]]++
      if (m > 0) {
        others[places[i]]++
        sum[places[i]] += m
      }
    }
  return Array.from({ length: bins }, (_, bin) => {
    // Before anything is seen: geometric from 0 on, with the bin's expected magnitude.
    const expected = 2 ** (lowest + (bin + 0.5) / 2)
    const nonZero = (others[bin] + expected / (1 + expected)) / (count[bin] + 1)
    const beyond = (sum[bin] - others[bin] + expected) / (others[bin] + 1)
    const more = Math.log2((1 + beyond) / beyond)
    return { zero: -Math.log2(1 - nonZero), one: 1 - Math.log2(nonZero) + Math.log2(1 + beyond), more }
  })
}
