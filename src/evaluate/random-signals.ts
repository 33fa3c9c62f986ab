/**
 * Values that stand in for data where there is none: pictures, sounds, maps and vectors with the structure of real ones
 * (spectra that fall with frequency, edges, pauses), and flat noise, in every range that people feed.
 */
import type { InputGroup } from '../data/handle.ts'
import type { Random } from '../tensor/random.ts'

/** What a tensor's shape suggests that it holds. */
export type Form = 'picture' | 'sound' | 'vector'

/** Where channels, rows and columns of a picture or map are; of a sound, its channels and its length. */
export interface Layout {
  readonly form: Form
  readonly channels: number
  readonly height: number
  readonly width: number
  /** Channels are the last axis. */
  readonly interleaved: boolean
  /** Channels and two sides. Hardly anybody feeds flat noise to a model of images: it is one of the kinds of pictures. */
  readonly isImage?: boolean
}

const soundLength = 256

/** The layout of one sample: `dims` without the axis of samples. */
export function layoutOf(dims: readonly number[]): Layout {
  const known = (n: number): boolean => n === 1 || n === 3 || n === 4
  if (dims.length === 3) {
    const interleaved = !known(dims[0]) && known(dims[2])
    const [channels, height, width] = interleaved ? [dims[2], dims[0], dims[1]] : dims
    return { form: 'picture', channels, height, width, interleaved, isImage: true }
  }
  const sides = dims.filter((d) => d > 1)
  if (sides.length === 1 && sides[0] >= soundLength)
    return { form: 'sound', channels: 1, height: 1, width: sides[0], interleaved: false }
  if (sides.length === 2 && Math.min(...sides) <= 2 && Math.max(...sides) >= soundLength) {
    const interleaved = sides[1] <= 2
    return { form: 'sound', channels: Math.min(...sides), height: 1, width: Math.max(...sides), interleaved }
  }
  if (sides.length === 2 && Math.min(...sides) >= 4)
    return { form: 'picture', channels: 1, height: sides[0], width: sides[1], interleaved: false }
  const size = dims.reduce((a, b) => a * b, 1)
  return { form: 'vector', channels: 1, height: 1, width: size, interleaved: false }
}

type Ranges = Readonly<Record<string, (x: number) => number>>

/** How base values (pictures and vectors within 0..1, sounds within -1..1) become the floats that a model is fed. */
const ranges: Readonly<Record<Form, Ranges>> = {
  // About what the means and deviations of public data sets make of 0..1.
  picture: { '0..1': (x) => x, normalised: (x) => (x - 0.45) / 0.23, '0..255': (x) => 255 * x },
  vector: { normalised: (x) => (x - 0.5) / 0.25, '0..1': (x) => x, '0..255': (x) => 255 * x },
  sound: { '-1..1': (x) => x, normalised: (x) => 4 * x },
}

/** Ranges without zero and negative numbers, of which some models take logarithms, roots or reciprocals. */
const positive: Ranges = {
  '0.01..0.99': (x) => Math.min(0.99, Math.max(0.01, Math.abs(x))),
  '1..255': (x) => Math.min(255, Math.max(1, 255 * Math.abs(x))),
}
export const positiveRanges: readonly string[] = Object.keys(positive)

type Span = readonly [name: string, from: number, to: number]

/** Of whole numbers of few bits, all that there are; of 16 bits without a sign also the 12 that many sensors fill. */
const narrow: Readonly<Record<string, readonly Span[]>> = {
  uint8: [['0..255', 0, 255]],
  int8: [['-127..127', -127, 127]],
  uint16: [
    ['0..65535', 0, 65535],
    ['0..4095', 0, 4095],
  ],
  int16: [['-32767..32767', -32767, 32767]],
}

/** Of whole numbers of many bits, which may be anything: flags, bytes, counts, and times in seconds since 1970. */
const wide: readonly Span[] = [
  ['0..1', 0, 1],
  ['0..255', 0, 255],
  ['0..65535', 0, 65535],
  ['1e9..2e9', 1e9, 2e9],
]

/** Times in milliseconds since 1970. */
const milliseconds: Span = ['1e12..2e12', 1e12, 2e12]

/** By their names, the ranges that a tensor of a form and type is fed in. */
function rangesFor(form: Form, dtype: string): Ranges {
  if (!/int/.test(dtype)) return ranges[form]
  const least = form === 'sound' ? -1 : 0
  const mapTo = ([name, from, to]: Span) => {
    const scaled = (x: number): number => from + ((x - least) / (1 - least)) * (to - from)
    const within = (x: number): number => Math.min(to, Math.max(from, scaled(x)))
    return [name, isWide(dtype) ? (x: number) => Math.round(within(x)) : within] as const
  }
  return Object.fromEntries((narrow[dtype] ?? [...wide, ...(/64/.test(dtype) ? [milliseconds] : [])]).map(mapTo))
}

/** Whole numbers of more than 16 bits. */
export function isWide(dtype: string): boolean {
  return /int/.test(dtype) && !Object.hasOwn(narrow, dtype)
}

export function rangesOf(form: Form, dtype: string): string[] {
  return Object.keys(rangesFor(form, dtype))
}

/** One sample of a group. `index` says which of the kinds of the form, or of noise, it is, in turn. */
export function drawSample(
  layout: Layout,
  { dtype, range, isNoise }: InputGroup & { readonly dtype: string },
  index: number,
  rng: Random,
): Float32Array | Float64Array {
  const { channels, height, width, interleaved, form } = layout
  const maps = rangesFor(form, dtype)
  const map = (/int/.test(dtype) ? undefined : positive[range]) ?? maps[range] ?? Object.values(maps)[0]
  const planar = isNoise ? noise(layout, index, rng) : signals[form](layout, index, rng)
  const area = height * width
  const out = isWide(dtype) ? new Float64Array(planar.length) : new Float32Array(planar.length)
  for (let i = 0; i < planar.length; i++) {
    const to = interleaved ? (i % area) * channels + Math.floor(i / area) : i
    out[to] = map(planar[i])
  }
  return out
}

const signals: Readonly<Record<Form, (layout: Layout, index: number, rng: Random) => Float32Array>> = {
  picture,
  sound,
  vector,
}

/** Flat noise, uniform and normal in turn, of the range of the form's signals. */
function noise({ form, channels, height, width }: Layout, index: number, rng: Random): Float32Array {
  const out = new Float32Array(channels * height * width)
  const next = index % 2 === 0 ? () => 2 * rng.next() - 1 : () => 0.5 * rng.normal()
  if (form === 'sound') {
    const level = loudness(rng)
    return out.map(() => Math.min(1, Math.max(-1, level * next())))
  }
  if (form === 'vector') return out.map(() => 0.5 + 0.5 * next())
  return out.map(() => Math.min(1, Math.max(0, 0.5 + 0.5 * next())))
}

/** Noise whose power falls with frequency: octaves of a coarse grid, interpolated, each half as strong. Within about -1..1. */
function clouds(height: number, width: number, roughness: number, rng: Random): Float32Array {
  const out = new Float32Array(height * width)
  let strength = 1
  for (let cell = Math.max(height, width); cell >= 1; cell /= 2, strength *= roughness) {
    const [rows, columns] = [Math.ceil(height / cell) + 1, Math.ceil(width / cell) + 1]
    const grid = new Float32Array(rows * columns)
    for (let i = 0; i < grid.length; i++) grid[i] = 2 * rng.next() - 1
    // Rows of the grid are mixed first, then their columns: each pixel is one step between two numbers.
    const row = new Float32Array(columns + 1)
    for (let y = 0; y < height; y++) {
      const v = y / cell
      const y0 = Math.floor(v)
      const fy = v - y0
      const above = y0 * columns
      const below = Math.min(rows - 1, y0 + 1) * columns
      for (let c = 0; c < columns; c++) row[c] = strength * (grid[above + c] + fy * (grid[below + c] - grid[above + c]))
      row[columns] = row[columns - 1]
      for (let x = 0; x < width; x++) {
        const u = x / cell
        const x0 = Math.floor(u)
        out[y * width + x] += row[x0] + (u - x0) * (row[x0 + 1] - row[x0])
      }
    }
  }
  return out
}

/** Pictures within 0..1: scenes of flat shapes before clouds, clouds alone, and of images now and then plain noise. */
function picture({ channels, height, width, isImage }: Layout, index: number, rng: Random): Float32Array {
  const area = height * width
  const out = new Float32Array(channels * area)
  const kind = index % (isImage ? 4 : 3)
  if (kind === 3) return out.map(() => rng.next())
  const [brightness, contrast] = [0.2 + 0.6 * rng.next(), 0.15 + 0.35 * rng.next()]
  const shared = clouds(height, width, 0.55, rng)
  for (let c = 0; c < channels; c++) {
    const tint = (rng.next() - 0.5) * 0.4
    const own = clouds(height, width, 0.5, rng)
    for (let i = 0; i < area; i++) out[c * area + i] = brightness + tint + contrast * (0.8 * shared[i] + 0.3 * own[i])
  }
  const shapes = kind === 1 ? 0 : 1 + rng.below(kind === 0 ? 4 : 8)
  for (let s = 0; s < shapes; s++) addShape(out, { channels, height, width }, rng)
  for (let i = 0; i < out.length; i++) out[i] = Math.min(1, Math.max(0, out[i] + 0.02 * rng.normal()))
  return out
}

/** An ellipse or rectangle of one colour, anywhere. */
function addShape(
  out: Float32Array,
  { channels, height, width }: Pick<Layout, 'channels' | 'height' | 'width'>,
  rng: Random,
): void {
  const [cy, cx] = [rng.next() * height, rng.next() * width]
  const [ry, rx] = [(0.05 + 0.35 * rng.next()) * height, (0.05 + 0.35 * rng.next()) * width]
  const round = rng.next() < 0.5
  const colour = Float32Array.from({ length: channels }, () => rng.next())
  for (let y = Math.max(0, Math.floor(cy - ry)); y < Math.min(height, cy + ry); y++) {
    for (let x = Math.max(0, Math.floor(cx - rx)); x < Math.min(width, cx + rx); x++) {
      if (round && ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 > 1) continue
      for (let c = 0; c < channels; c++) out[(c * height + y) * width + x] = colour[c]
    }
  }
}

/** From nearly the loudest to a thirtieth of it. */
function loudness(rng: Random): number {
  return 10 ** (-0.1 - 1.5 * rng.next())
}

/** Sounds within -1..1: voiced harmonics with pauses, noise that falls with frequency, tones that rise. */
function sound({ channels, width: length }: Layout, index: number, rng: Random): Float32Array {
  const kind = index % 3
  const level = loudness(rng)
  const base =
    kind === 0 ? voice(length, rng) : kind === 1 ? clouds(1, length, 0.6, rng).map((x) => x / 2) : sweep(length, rng)
  const out = new Float32Array(channels * length)
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < length; i++)
      out[c * length + i] = Math.min(1, Math.max(-1, level * base[i] + 0.003 * rng.normal()))
  return out
}

/** A pitch with harmonics that fall off, in syllables. */
function voice(length: number, rng: Random): Float32Array {
  const out = new Float32Array(length)
  const pitch = (0.006 + 0.012 * rng.next()) * 2 * Math.PI
  const syllable = Math.min(length, 1600) * (0.5 + rng.next())
  const start = rng.next() * 2 * Math.PI
  const weights = Float32Array.from({ length: 12 }, (_, h) => rng.next() / (h + 1))
  for (let i = 0; i < length; i++) {
    const envelope = Math.max(0, Math.sin(start + (2 * Math.PI * i) / syllable))
    let sum = 0
    for (let h = 0; h < weights.length; h++) sum += weights[h] * Math.sin(pitch * (h + 1) * i)
    out[i] = envelope * sum
  }
  return out
}

function sweep(length: number, rng: Random): Float32Array {
  const [from, to] = [0.02 * rng.next(), 0.02 + 0.4 * rng.next()]
  return Float32Array.from(
    { length },
    (_, i) => 0.8 * Math.sin(2 * Math.PI * i * (from + ((to - from) * i) / (2 * length))),
  )
}

/** Vectors about within 0..1: neighbours that belong together, and few that are not zero. */
function vector({ width: length }: Layout, index: number, rng: Random): Float32Array {
  if (index % 2 === 0) return clouds(1, length, 0.7, rng).map((x) => 0.5 + 0.3 * x)
  return Float32Array.from({ length }, () => (rng.next() < 0.2 ? rng.next() : 0))
}
