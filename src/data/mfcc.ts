/**
 * What keyword-spotting networks read of a second of speech: 49 x 10 cepstral coefficients (MFCC), as MLPerf Tiny's reference
 * computes them with TensorFlow: the clip divided by its largest sample, windows of 30 ms every 20 ms (Hann), magnitudes of a
 * Fourier transform of 512, 40 triangles on the mel scale from 20 to 4,000 Hz, ln(x + 1e-6), and the first ten coefficients
 * of a cosine transform (DCT-II) divided by √(2 · 40).
 */

/** Samples per second, and of a clip. */
export const clipLength = 16_000
export const mfccShape = [49, 10] as const
const [windowLength, stride, size] = [480, 320, 512]
const bands = 40
const [frames, coefficients] = mfccShape
const bins = size / 2 + 1

/** Hann's window, periodic. */
const hann = Float64Array.from(
  { length: windowLength },
  (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / windowLength),
)

interface Band {
  /** The first bin that has a weight. */
  readonly from: number
  readonly weights: Float64Array
}

/** The weight of a bin in a band is a triangle on the mel scale; the constant part has none. */
const mel = Array.from({ length: bands }, (_, band): Band => {
  const melOf = (hertz: number): number => 1127 * Math.log1p(hertz / 700)
  const [low, high] = [melOf(20), melOf(4000)]
  const edge = (i: number): number => low + ((high - low) * i) / (bands + 1)
  const all = Float64Array.from({ length: bins }, (_, bin) => {
    const at = melOf((bin * clipLength) / size)
    const rise = (at - edge(band)) / (edge(band + 1) - edge(band))
    const fall = (edge(band + 2) - at) / (edge(band + 2) - edge(band + 1))
    return bin === 0 ? 0 : Math.max(0, Math.min(rise, fall))
  })
  const from = Math.max(
    0,
    all.findIndex((w) => w > 0),
  )
  return { from, weights: all.slice(from, all.findLastIndex((w) => w > 0) + 1) }
})

/** e^(-2πi·k / size) */
const turns = {
  real: Float64Array.from({ length: size / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / size)),
  imaginary: Float64Array.from({ length: size / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / size)),
}

const cosines = Array.from({ length: coefficients }, (_, k) =>
  Float64Array.from(
    { length: bands },
    (_, i) => (2 * Math.cos((Math.PI * k * (i + 0.5)) / bands)) / Math.sqrt(2 * bands),
  ),
)

/** [49, 10] of a clip of at most a second; the rest is silence. */
export function mfcc(samples: Float32Array): Float32Array {
  let largest = 0
  for (const v of samples) if (v > largest) largest = v
  largest ||= 1
  const out = new Float32Array(frames * coefficients)
  const [real, imaginary] = [new Float64Array(size), new Float64Array(size)]
  const [magnitudes, logs] = [new Float64Array(bins), new Float64Array(bands)]
  for (let frame = 0; frame < frames; frame++) {
    real.fill(0)
    imaginary.fill(0)
    for (let i = 0; i < windowLength; i++) real[i] = (hann[i] * (samples[frame * stride + i] ?? 0)) / largest
    transform(real, imaginary)
    for (let bin = 0; bin < bins; bin++) magnitudes[bin] = Math.sqrt(real[bin] ** 2 + imaginary[bin] ** 2)
    for (let band = 0; band < bands; band++) {
      const { from, weights } = mel[band]
      let sum = 1e-6
      for (let i = 0; i < weights.length; i++) sum += weights[i] * magnitudes[from + i]
      logs[band] = Math.log(sum)
    }
    for (let k = 0; k < coefficients; k++)
      out[frame * coefficients + k] = cosines[k].reduce((sum, c, band) => sum + c * logs[band], 0)
  }
  return out
}

/** Fourier's transform of `size` numbers in place (Cooley and Tukey 1965). */
function transform(real: Float64Array, imaginary: Float64Array): void {
  const n = real.length
  // 1. Into the order of reversed bits.
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1
    for (; j & bit; bit >>= 1) j ^= bit
    j ^= bit
    if (i < j) {
      ;[real[i], real[j]] = [real[j], real[i]]
      ;[imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]]
    }
  }
  // 2. Pairs, pairs of pairs, ...
  for (let width = 2; width <= n; width <<= 1) {
    const half = width >> 1
    for (let k = 0; k < half; k++) {
      const [c, s] = [turns.real[(k * n) / width], turns.imaginary[(k * n) / width]]
      for (let at = k; at < n; at += width) {
        const re = real[at + half] * c - imaginary[at + half] * s
        const im = real[at + half] * s + imaginary[at + half] * c
        real[at + half] = real[at] - re
        imaginary[at + half] = imaginary[at] - im
        real[at] += re
        imaginary[at] += im
      }
    }
  }
}
