/**
 * What a layer's inputs look like: the second moments H = E[x xᵀ] and the mean of the vectors x that its weight matrix
 * multiplies (for a convolution, the patches under the kernel), sampled from calibration batches.
 */

import { f, model, node, valueInfo } from '../graph/build.ts'
import { describe, intAttribute, intsAttribute, stringAttribute } from '../graph/walk.ts'
import { isOnnxDomain, type Node } from '../model.ts'
import { openSession, type Session, type Value } from '../runtime/session.ts'
import { floatValues } from '../tensor/dtype.ts'
import { type Random, random } from '../tensor/random.ts'

/** How a node multiplies its input with a weight matrix: `groups` matrices of `rows` x `columns`. */
export interface MatrixShape {
  readonly groups: number
  /** Outputs a group. */
  readonly rows: number
  /** Inputs a group. */
  readonly columns: number
  /** The weight tensor is stored as columns x rows (MatMul, Gemm without transB). */
  readonly transposed: boolean
}

/** The matrix form of a weight tensor at a node's input 1; undefined where the node is no plain product. */
export function matrixShapeOf(node: Node, dims: readonly number[]): MatrixShape | undefined {
  const product = productOf(node)
  if (product === 'Conv' && (dims.length === 3 || dims.length === 4)) {
    const groups = intAttribute(node, 'group', 1)
    const columns = dims.slice(1).reduce((a, b) => a * b, 1)
    return { groups, rows: dims[0] / groups, columns, transposed: false }
  }
  if (product === 'Gemm' && dims.length === 2 && intAttribute(node, 'transA', 0) === 0) {
    return intAttribute(node, 'transB', 0) === 1
      ? { groups: 1, rows: dims[0], columns: dims[1], transposed: false }
      : { groups: 1, rows: dims[1], columns: dims[0], transposed: true }
  }
  if (product === 'MatMul' && dims.length === 2) return { groups: 1, rows: dims[1], columns: dims[0], transposed: true }
  return undefined
}

/** The plain product that a node computes, with more behind it perhaps: ONNX Runtime fuses layers with what follows. */
function productOf(node: Node): 'Conv' | 'Gemm' | 'MatMul' | undefined {
  if (isOnnxDomain(node.domain)) {
    return node.op === 'Conv' || node.op === 'Gemm' || node.op === 'MatMul' ? node.op : undefined
  }
  if (node.domain !== 'com.microsoft') return undefined
  switch (node.op) {
    case 'FusedConv':
      return 'Conv'
    case 'FusedGemm':
    case 'FusedMatMul':
      return 'Gemm'
    case 'Attention':
    case 'GemmFastGelu':
      return 'MatMul'
    default:
      return undefined
  }
}

/** Above this many inputs, blocks of them are treated as independent: H takes k² numbers and its factor k³ steps. */
export const maxBlock = 1024

/** Second moments of the inputs `from` to `from + size` of a group. */
export interface MomentBlock {
  readonly from: number
  readonly size: number
  /** E[x xᵀ], size x size. */
  readonly second: Float64Array
}

/** Moments of a layer's inputs, a group at a time. */
export interface Moments {
  readonly blocks: readonly (readonly MomentBlock[])[]
  /** E[x] of each group. */
  readonly mean: readonly Float64Array[]
  /** The share of the vectors that were left out: they held NaN, infinity, or numbers too large to be squared. */
  readonly leftOut?: number
}

/** Vectors are left out up to this share; where more are unfit, the moments are not finite. */
const mostLeftOut = 0.5
/** Squares of larger numbers, added up, overflow float32. */
const largest = 1e18

/** Throws where most of a layer's inputs are not finite, or too large to be squared: one sentence with the name of its weight. */
export function checkFinite(subject: string, weight: string, moments: Moments | undefined, random = false): void {
  const parts = moments ? [...moments.mean, ...moments.blocks.flat().map((b) => b.second)] : []
  if (!parts.every((part) => part.every(Number.isFinite))) throw notFinite(subject, weight, random)
}

/** Says which share of the vectors that a layer reads was left out, of the layer that most were left out of; nothing where none was. */
export function leftOutWarnings(subject: string, moments: ReadonlyMap<string, Moments>): string[] {
  const [[weight, share] = ['', 0]] = [...moments]
    .map(([name, { leftOut = 0 }]) => [name, leftOut] as const)
    .sort((a, b) => b[1] - a[1])
  if (share === 0) return []
  return [
    `${subject}: ${(100 * share).toPrecision(2)} % of the vectors that the layer of weight "${weight}" reads hold NaN, infinity or numbers too large to be squared, and are left out`,
  ]
}

/** `random`: the inputs are drawn, and not a person's. */
export function notFinite(subject: string, weight: string, random = false): Error {
  const [on, expected] = random
    ? ['random inputs', 'data (--data SPEC)']
    : ['the data', 'inputs for which the model gives finite numbers']
  return new Error(
    `${subject}: the layer of weight "${weight}" reads values on ${on} that are not finite (NaN or infinity), or too large to be squared; expected ${expected}`,
  )
}

/** The blocks that `columns` inputs fall into, of at most `most` each. */
export function blocksOf(columns: number, most = maxBlock): { readonly from: number; readonly size: number }[] {
  return Array.from({ length: Math.ceil(columns / most) }, (_, b) => ({
    from: b * most,
    size: Math.min(most, columns - b * most),
  }))
}

export interface MomentSampler {
  /** Takes samples from one batch of the node's input 0. */
  add(value: Value): Promise<void>
  finish(): Moments
}

/** Samples at most `limit` vectors, spread over `batches` batches. The same seed picks the same positions. */
export function sampleMoments(
  node: Node,
  weightDims: readonly number[],
  options: {
    readonly limit: number
    readonly batches: number
    readonly seed: number
    readonly alike?: boolean
    /** Most inputs of a block; default `maxBlock`. */
    readonly block?: number
  },
): MomentSampler {
  const shape = matrixShapeOf(node, weightDims)
  if (!shape) throw new Error(`${describe(node)}: no matrix form for weights [${weightDims.join(',')}]`)
  const perBatch = Math.max(1, Math.floor(options.limit / options.batches))
  const rng = random(options.seed)
  const groups = Array.from({ length: shape.groups }, () => ({
    blocks: blocksOf(shape.columns, options.block).map((b) => ({ ...b, second: new Float64Array(b.size * b.size) })),
    mean: new Float64Array(shape.columns),
    total: 0,
  }))
  let [seen, kept] = [0, 0]
  return {
    async add(value) {
      const { vectors } = inputVectors(node, weightDims, value, { count: perBatch, rng })
      const gathered = vectors.map((part) => fitVectors(part, shape.columns))
      seen += vectors.reduce((total, part) => total + part.length, 0)
      kept += gathered.reduce((total, part) => total + part.length, 0)
      // Sums alone are kept: of a large network's layers the vectors would take gigabytes.
      const sums: { second: Float64Array; gram: Float32Array }[] = []
      let squares = 0
      for (const [i, part] of gathered.entries()) {
        const { blocks, mean } = groups[i]
        const n = part.length / shape.columns
        if (n === 0) continue
        groups[i].total += n
        for (const { from, size, second } of blocks) {
          const gram = await gramOf(part.subarray(from * n, (from + size) * n), size)
          for (let c = 0; c < size; c++) squares += gram[c * size + c]
          sums.push({ second, gram })
        }
        if (options.alike) continue
        for (let c = 0; c < shape.columns; c++) for (let j = c * n; j < (c + 1) * n; j++) mean[c] += part[j]
      }
      // Vectors scaled to a mean square of 1 have products scaled by the square of that.
      const count = gathered.reduce((total, part) => total + part.length, 0)
      const scale = options.alike && squares > 0 ? count / squares : 1
      for (const { second, gram } of sums) for (let k = 0; k < second.length; k++) second[k] += scale * gram[k]
    },
    finish() {
      const leftOut = seen > 0 ? 1 - kept / seen : 0
      for (const { blocks, mean, total } of groups)
        for (const sums of [mean, ...blocks.map((b) => b.second)])
          for (let i = 0; i < sums.length; i++) sums[i] = leftOut > mostLeftOut ? Number.NaN : sums[i] / total
      return {
        blocks: groups.map((g) => g.blocks),
        mean: groups.map((g) => g.mean),
        ...(leftOut > 0 ? { leftOut } : {}),
      }
    },
  }
}

/** The vectors, as columns x samples, without those that hold NaN, infinity, or numbers too large to be squared. */
function fitVectors(part: Float32Array, columns: number): Float32Array {
  // One plain loop: this looks at every number, and nearly always finds nothing.
  let at = 0
  while (at < part.length && part[at] < largest && part[at] > -largest) at++
  if (at === part.length) return part
  const n = part.length / columns
  const unfit = new Uint8Array(n)
  for (let i = 0; i < part.length; i++) if (!(part[i] < largest && part[i] > -largest)) unfit[i % n] = 1
  return part.filter((_, i) => unfit[i % n] === 0)
}

export interface InputVectors {
  /** For each group its vectors, as columns x samples. */
  readonly vectors: readonly Float32Array[]
  /** Which of the layer's output places each is for: rows, or places of the image, those of one sample after the other. */
  readonly places: Int32Array
}

/** At most `count` random vectors that a layer multiplies, of the value at its input 0. The same numbers pick the same places. */
export function inputVectors(
  node: Node,
  weightDims: readonly number[],
  value: Value,
  { count, rng }: { readonly count: number; readonly rng: Random },
): InputVectors {
  const x = floatValues(value)
  const shape = matrixShapeOf(node, weightDims)
  if (!x || !shape) throw new Error(`${describe(node)}: its input is ${value.dtype}; expected floats`)
  return productOf(node) === 'Conv'
    ? patches(node, weightDims, x, value.dims, count, rng)
    : rowsOf(x, shape.columns, count, rng)
}

/** What a layer made at the places that `inputVectors` picks by the same numbers: outputs x samples. */
export function outputVectors(
  node: Node,
  value: Value,
  { count, rng }: { readonly count: number; readonly rng: Random },
): { readonly rows: number; readonly vectors: Float32Array } {
  const x = floatValues(value)
  if (!x) throw new Error(`${describe(node)}: its output is ${value.dtype}; expected floats`)
  const isImage = productOf(node) === 'Conv'
  const rows = value.dims[isImage ? 1 : value.dims.length - 1]
  const places = drawPlaces(count, x.length / rows, rng)
  const n = places.length
  // Of images a channel's places lie together, of vectors a vector's numbers.
  const size = isImage ? x.length / rows / value.dims[0] : 1
  const out = new Float32Array(rows * n)
  for (const [s, place] of places.entries()) {
    const from = Math.floor(place / size) * rows * size + (place % size)
    for (let r = 0; r < rows; r++) out[r * n + s] = x[from + r * size]
  }
  return { rows, vectors: out }
}

/** All of `available` places where that is no more than `count`, else so many random ones. */
function drawPlaces(count: number, available: number, rng: Random): Int32Array {
  const all = available <= count
  return Int32Array.from({ length: Math.min(count, available) }, (_, s) => (all ? s : rng.below(available)))
}

/** Random rows of a [.., columns] array. */
function rowsOf(x: Float32Array | Float64Array, columns: number, count: number, rng: Random): InputVectors {
  const places = drawPlaces(count, x.length / columns, rng)
  const n = places.length
  const out = new Float32Array(columns * n)
  for (let s = 0; s < n; s++) for (let c = 0; c < columns; c++) out[c * n + s] = x[places[s] * columns + c]
  return { vectors: [out], places }
}

/** Random patches under a convolution's kernel. */
function patches(
  node: Node,
  weightDims: readonly number[],
  x: Float32Array | Float64Array,
  dims: readonly number[],
  count: number,
  rng: Random,
): InputVectors {
  const groups = intAttribute(node, 'group', 1)
  const one = dims.length === 3 // 1-D: a second spatial axis of size 1
  const [batch, channels, height] = dims
  const width = one ? 1 : dims[3]
  const [kh, kw] = one ? [weightDims[2], 1] : [weightDims[2], weightDims[3]]
  const strides = intsAttribute(node, 'strides') ?? [1, 1]
  const dilations = intsAttribute(node, 'dilations') ?? [1, 1]
  const [sh, sw] = one ? [strides[0], 1] : strides
  const [dh, dw] = one ? [dilations[0], 1] : dilations
  const [top, left, bottom, right] = paddingOf(node, [height, width], [kh, kw], [sh, sw], [dh, dw], one)
  const outHeight = Math.floor((height + top + bottom - dh * (kh - 1) - 1) / sh) + 1
  const outWidth = Math.floor((width + left + right - dw * (kw - 1) - 1) / sw) + 1
  const places = drawPlaces(count, batch * outHeight * outWidth, rng)
  const n = places.length
  const perGroup = channels / groups
  const out = Array.from({ length: groups }, () => new Float32Array(perGroup * kh * kw * n))
  // Where each patch begins: its image, row and column.
  const [images, rows, columns] = [new Int32Array(n), new Int32Array(n), new Int32Array(n)]
  for (let s = 0; s < n; s++) {
    const at = places[s]
    images[s] = Math.floor(at / (outHeight * outWidth))
    rows[s] = (Math.floor(at / outWidth) % outHeight) * sh - top
    columns[s] = (at % outWidth) * sw - left
  }
  // A channel at a time, so that what is read lies together.
  for (let c = 0; c < channels; c++) {
    const to = out[Math.floor(c / perGroup)]
    let at = (c % perGroup) * kh * kw * n
    for (let i = 0; i < kh; i++) {
      for (let j = 0; j < kw; j++, at += n) {
        for (let s = 0; s < n; s++) {
          const [y, x0] = [rows[s] + i * dh, columns[s] + j * dw]
          if (y >= 0 && y < height && x0 >= 0 && x0 < width)
            to[at + s] = x[((images[s] * channels + c) * height + y) * width + x0]
        }
      }
    }
  }
  return { vectors: out, places }
}

/** [top, left, bottom, right], `auto_pad` resolved. */
function paddingOf(
  node: Node,
  size: number[],
  kernel: number[],
  stride: number[],
  dilation: number[],
  one: boolean,
): number[] {
  const auto = stringAttribute(node, 'auto_pad', 'NOTSET')
  if (auto === 'NOTSET') {
    const pads = intsAttribute(node, 'pads')
    if (!pads) return [0, 0, 0, 0]
    return one ? [pads[0], 0, pads[1], 0] : pads
  }
  if (auto === 'VALID') return [0, 0, 0, 0]
  const total = size.map((n, i) =>
    Math.max(0, (Math.ceil(n / stride[i]) - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 - n),
  )
  const small = total.map((t) => Math.floor(t / 2))
  const large = total.map((t, i) => t - small[i])
  return auto === 'SAME_UPPER' ? [...small, ...large] : [...large, ...small]
}

let gramSession: Promise<Session> | undefined

/** A·Aᵀ, for A of size x n; ONNX Runtime does the product. */
export async function gramOf(a: Float32Array, size: number): Promise<Float32Array> {
  gramSession ??= openSession(
    model({
      nodes: [node('Gemm', ['a', 'a'], ['g'], { transB: 1, alpha: f(1) })],
      initializers: new Map(),
      inputs: [valueInfo('a', 'float32', ['k', 'n'])],
      outputs: [valueInfo('g', 'float32', ['k', 'k'])],
    }),
  )
  const { g } = await (await gramSession).run({ a: { dtype: 'float32', dims: [size, a.length / size], data: a } })
  return g.data as Float32Array
}
