/**
 * A histogram that is filled batch by batch and grows as values come, and the ways to choose a range from it.
 *
 * Bins are as wide as a power of two and lie at multiples of their width, so growing only ever merges pairs of bins:
 * nothing is re-binned, one pass over the data is enough, and the order of batches does not matter.
 */

export interface Histogram {
  /** Width of a bin; a power of two. 0 before the first value that is not zero. */
  width: number
  /** Bin i holds the values within [(first + i) * width, (first + i + 1) * width). */
  first: number
  counts: Float64Array
  /** Values that are exactly zero; they are in no bin, since every quantiser here keeps them exact. */
  zeros: number
  /** All values, zeros included. */
  total: number
  min: number
  max: number
}

export interface Range {
  readonly min: number
  readonly max: number
}

/** At least half as many bins span the values, once there are some. */
const maxBins = 4096

export function emptyHistogram(): Histogram {
  return {
    width: 0,
    first: 0,
    counts: new Float64Array(0),
    zeros: 0,
    total: 0,
    min: Number.POSITIVE_INFINITY,
    max: Number.NEGATIVE_INFINITY,
  }
}

/** Adds the values that are finite: a logarithm of nothing is in no range. Throws where most are not. */
export function addToHistogram(h: Histogram, values: Float32Array): void {
  // Hundreds of millions of values come by: plain loops.
  let { min, max } = h
  let rest = 0
  for (let i = 0; i < values.length; i++) {
    const v = values[i]
    if (v < min) min = v
    if (v > max) max = v
    // 0, but NaN of what is not finite, and then for good.
    rest += v - v
  }
  if (rest !== 0) {
    addToHistogram(h, finiteOf(values))
    return
  }
  h.min = min
  h.max = max
  h.total += values.length
  if (min === 0 && max === 0) {
    h.zeros += values.length
    return
  }
  widen(h)
  const { first, counts } = h
  const scale = 1 / h.width
  let zeros = 0
  for (let i = 0; i < values.length; i++) {
    const v = values[i]
    if (v === 0) zeros++
    else counts[Math.floor(v * scale) - first]++
  }
  h.zeros += zeros
}

function finiteOf(all: Float32Array): Float32Array {
  const values = all.filter(Number.isFinite)
  if (2 * values.length < all.length)
    throw new Error(`calibration: a value is ${all.find((v) => !Number.isFinite(v))}; expected finite numbers`)
  return values
}

/** Widens the bins until [min, max] spans at most `maxBins` of them. */
function widen(h: Histogram): void {
  const span = Math.max(h.max - h.min, Math.abs(h.max) * 2 ** -20, Math.abs(h.min) * 2 ** -20)
  let width = Math.max(h.width, 2 ** (Math.floor(Math.log2(span / maxBins)) - 1))
  while (Math.floor(h.max / width) - Math.floor(h.min / width) >= maxBins) width *= 2
  const first = Math.floor(h.min / width)
  const size = Math.floor(h.max / width) - first + 1
  if (width === h.width && first === h.first && size === h.counts.length) return
  const counts = new Float64Array(size)
  const ratio = h.width ? width / h.width : 1
  for (let i = 0; i < h.counts.length; i++) {
    if (h.counts[i]) counts[Math.floor((h.first + i) / ratio) - first] += h.counts[i]
  }
  Object.assign(h, { width, first, counts })
}

/** Every value's range, zero included (a quantiser must hold zero exactly). */
export function minMaxRange(h: Histogram): Range {
  return { min: Math.min(0, h.min), max: Math.max(0, h.max) }
}

/** Cuts off the share (100 - percentile) % at each end. */
export function percentileRange(h: Histogram, percentile: number): Range {
  const all = minMaxRange(h)
  const cut = (h.total * (100 - percentile)) / 100
  const zeroBin = -h.first
  let low = all.min
  let high = all.max
  for (let i = 0, seen = 0; i < h.counts.length; i++) {
    if (i === zeroBin) seen += h.zeros
    seen += h.counts[i]
    if (seen > cut) {
      low = Math.max(low, (h.first + i) * h.width)
      break
    }
  }
  for (let i = h.counts.length - 1, seen = 0; i >= 0; i--) {
    seen += h.counts[i]
    if (i === zeroBin) seen += h.zeros
    if (seen > cut) {
      high = Math.min(high, (h.first + i + 1) * h.width)
      break
    }
  }
  return { min: Math.min(0, low), max: Math.max(0, high) }
}

/**
 * The range with the least mean squared error: step^2 / 12 for each value within (zeros are exact), the squared
 * distance to the end for each value beyond. Each end is searched over 1 %..100 % of its extreme, by turns.
 */
export function mseRange(h: Histogram, levels = 256): Range {
  const all = minMaxRange(h)
  let range = all
  let best = squaredError(h, range, levels)
  for (let round = 0; round < 3; round++) {
    const before = best
    for (const side of ['max', 'min'] as const) {
      if (all[side] === 0) continue
      for (let percent = 1; percent <= 100; percent++) {
        const candidate = { ...range, [side]: (all[side] * percent) / 100 }
        const error = squaredError(h, candidate, levels)
        if (error < best) {
          best = error
          range = candidate
        }
      }
    }
    if (best === before) break
  }
  return range
}

function squaredError(h: Histogram, { min, max }: Range, levels: number): number {
  const step = (max - min) / (levels - 1)
  const inside = (step * step) / 12
  let error = 0
  for (let i = 0; i < h.counts.length; i++) {
    const count = h.counts[i]
    if (count === 0) continue
    const x = (h.first + i + 0.5) * h.width
    const beyond = x > max ? x - max : x < min ? min - x : 0
    error += count * (beyond > 0 ? beyond * beyond : inside)
  }
  return error
}

/**
 * The range of two levels: ± the mean magnitude, which has the least squared error of all ±s; 0 and twice the mean where
 * nothing is negative.
 */
export function oneBitRange(h: Histogram): Range {
  const sum = h.counts.reduce((n, count, i) => n + count * Math.abs((h.first + i + 0.5) * h.width), 0)
  const mean = sum / (h.total || 1)
  return h.min < 0 ? { min: -mean, max: mean } : { min: 0, max: 2 * mean }
}

/**
 * The range whose quantised distribution is nearest to the values' own in Kullback-Leibler divergence (Migacz 2017,
 * "8-bit inference with TensorRT"): magnitudes in 2048 bins; for each threshold, P = the bins below it with all that
 * lies beyond added to the last, Q = P merged to as many levels as the quantiser has and spread out again.
 */
export function entropyRange(h: Histogram): Range {
  const all = minMaxRange(h)
  const limit = Math.max(all.max, -all.min)
  if (limit === 0) return all
  const bins = 2048
  const counts = new Float64Array(bins)
  for (let i = 0; i < h.counts.length; i++) {
    const x = Math.abs((h.first + i + 0.5) * h.width)
    counts[Math.min(bins - 1, Math.floor((x / limit) * bins))] += h.counts[i]
  }
  // Half of the 256 levels serve each sign where there are both.
  const levels = all.min < 0 && all.max > 0 ? 128 : 256
  let best = Number.POSITIVE_INFINITY
  let threshold = limit
  for (let kept = levels; kept <= bins; kept += 8) {
    const divergence = divergenceAt(counts, kept, levels)
    if (divergence < best) {
      best = divergence
      threshold = ((kept + 0.5) * limit) / bins
    }
  }
  return { min: Math.max(all.min, -threshold), max: Math.min(all.max, threshold) }
}

function divergenceAt(counts: Float64Array, kept: number, levels: number): number {
  let beyond = 0
  for (let i = kept; i < counts.length; i++) beyond += counts[i]
  let total = beyond
  for (let i = 0; i < kept; i++) total += counts[i]
  if (total === 0) return 0
  let divergence = 0
  for (let level = 0; level < levels; level++) {
    const from = Math.floor((level * kept) / levels)
    const to = Math.floor(((level + 1) * kept) / levels)
    let sum = 0
    let used = 0
    for (let i = from; i < to; i++) {
      sum += counts[i]
      if (counts[i] > 0 || (i === kept - 1 && beyond > 0)) used++
    }
    const spread = used ? sum / used : 0
    for (let i = from; i < to; i++) {
      const p = counts[i] + (i === kept - 1 ? beyond : 0)
      // A bin that Q leaves empty gets a small share, so that the divergence stays finite.
      if (p > 0) divergence += (p / total) * Math.log(p / Math.max(spread, 1e-4))
    }
  }
  return divergence
}
