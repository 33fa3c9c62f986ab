/**
 * k-means of vectors: Lloyd's rounds from k-means++ (Arthur, Vassilvitskii 2007), on a sample where there are many vectors.
 */
import { permutation, type Random } from './random.ts'

/** Vectors per centre that means are found from; more change little. */
const perCentre = 256
const mostRounds = 25

export interface VectorClusters {
  /** k rows of `length`. */
  readonly centres: Float32Array
  /** The nearest centre of each vector. */
  readonly codes: Uint16Array
}

/** `vectors`: rows of `length`. k is at most 65,536 and the number of vectors. */
export function vectorKmeans(vectors: Float32Array, length: number, k: number, rng: Random): VectorClusters {
  const all = vectors.length / length
  const sample = all > perCentre * k ? sampled(vectors, length, { count: perCentre * k, rng }) : vectors
  const n = sample.length / length
  const centres = plusPlus(sample, length, { k, rng })
  let codes = new Uint16Array(n)
  for (let round = 0; round < mostRounds; round++) {
    const found = nearestCentres(sample, length, centres)
    const moved = found.codes.some((c, i) => c !== codes[i])
    codes = found.codes
    if (round > 0 && !moved) break
    const sums = new Float64Array(centres.length)
    const counts = new Uint32Array(k)
    for (let i = 0; i < n; i++) {
      counts[codes[i]]++
      for (let d = 0; d < length; d++) sums[codes[i] * length + d] += sample[i * length + d]
    }
    for (let c = 0; c < k; c++) {
      if (counts[c] > 0) for (let d = 0; d < length; d++) centres[c * length + d] = sums[c * length + d] / counts[c]
      else moveToWorst(centres, c, { sample, length, errors: found.errors })
    }
  }
  return { centres, codes: nearestCentres(vectors, length, centres).codes }
}

function sampled(vectors: Float32Array, length: number, { count, rng }: { count: number; rng: Random }): Float32Array {
  const order = permutation(vectors.length / length, rng)
  const sample = new Float32Array(count * length)
  for (let i = 0; i < count; i++) sample.set(vectors.subarray(order[i] * length, (order[i] + 1) * length), i * length)
  return sample
}

/** A centre that no vector is near goes to the vector that is farthest from its own. */
function moveToWorst(
  centres: Float32Array,
  c: number,
  { sample, length, errors }: { sample: Float32Array; length: number; errors: Float64Array },
): void {
  let worst = 0
  for (let i = 1; i < errors.length; i++) if (errors[i] > errors[worst]) worst = i
  centres.set(sample.subarray(worst * length, (worst + 1) * length), c * length)
  errors[worst] = 0
}

function plusPlus(vectors: Float32Array, length: number, { k, rng }: { k: number; rng: Random }): Float32Array {
  const n = vectors.length / length
  const centres = new Float32Array(k * length)
  const distance = new Float64Array(n).fill(Number.POSITIVE_INFINITY)
  let chosen = rng.below(n)
  for (let c = 0; c < k; c++) {
    centres.set(vectors.subarray(chosen * length, (chosen + 1) * length), c * length)
    let total = 0
    for (let i = 0; i < n; i++) {
      distance[i] = Math.min(distance[i], squaredDistance(vectors, i * length, { centres, to: c * length, length }))
      total += distance[i]
    }
    let left = rng.next() * total
    chosen = 0
    while (chosen < n - 1 && left >= distance[chosen]) left -= distance[chosen++]
  }
  return centres
}

function squaredDistance(
  vectors: Float32Array,
  from: number,
  { centres, to, length }: { centres: Float32Array; to: number; length: number },
): number {
  let sum = 0
  for (let d = 0; d < length; d++) {
    const apart = vectors[from + d] - centres[to + d]
    sum += apart * apart
  }
  return sum
}

function nearestCentres(vectors: Float32Array, length: number, centres: Float32Array) {
  const n = vectors.length / length
  const k = centres.length / length
  // |x - c|² = |x|² + 2 (|c|²/2 - x·c); the centres lie coordinate by coordinate, so that inner loops run along them.
  const turned = new Float64Array(centres.length)
  const half = new Float64Array(k)
  for (let c = 0; c < k; c++) {
    for (let d = 0; d < length; d++) {
      turned[d * k + c] = centres[c * length + d]
      half[c] += centres[c * length + d] ** 2 / 2
    }
  }
  const codes = new Uint16Array(n)
  const errors = new Float64Array(n)
  const scores = new Float64Array(k)
  for (let i = 0; i < n; i++) {
    scores.set(half)
    let square = 0
    for (let d = 0; d < length; d++) {
      const x = vectors[i * length + d]
      const at = d * k
      square += x * x
      for (let c = 0; c < k; c++) scores[c] -= x * turned[at + c]
    }
    let best = 0
    for (let c = 1; c < k; c++) if (scores[c] < scores[best]) best = c
    codes[i] = best
    errors[i] = square + 2 * scores[best]
  }
  return { codes, errors }
}
