/**
 * Convolutions and their gradients in blocked layout, by the quickest ways found to write them with ONNX Runtime's
 * forward kernels. All values are blocked; B is the block size.
 */
import {
  add,
  concat,
  type Emitter,
  matMul,
  pad,
  reduce,
  reshape,
  type Shape,
  slice,
  sum,
  transpose,
} from '../../ops/grad/emit.ts'
import { blockedDomain, toRows } from './layout.ts'

export interface Activation {
  readonly kind: 'Relu' | 'Clip' | 'HardSigmoid'
  readonly params?: readonly number[]
}

export interface BlockedConv {
  readonly bias?: string
  /** Added to the result before the activation; its buffer is reused where it can be. */
  readonly sum?: string
  readonly strides?: readonly number[]
  /** All begins, then all ends. */
  readonly pads?: readonly number[]
  readonly dilations?: readonly number[]
  readonly group?: number
  readonly activation?: Activation
  /** Where the declared shapes are not those of a plain convolution. */
  readonly shape?: Shape
}

/** The blocked convolution kernel. `w` may be computed: it must be in stored form. */
export function blockedConv(g: Emitter, x: string, w: string, options: BlockedConv = {}): string {
  const { strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1], group = 1, activation } = options
  const [n, , h, wide] = g.shape(x)
  const [o, , kh, kw] = g.shape(w)
  const out = (size: number, i: number, k: number): number =>
    Math.floor((size + pads[i] + pads[i + 2] - dilations[i] * (k - 1) - 1) / strides[i]) + 1
  const inputs = [x, w]
  if (options.bias || options.sum) inputs.push(options.bias ?? '')
  if (options.sum) inputs.push(options.sum)
  return g.op('Conv', inputs, {
    domain: blockedDomain,
    attributes: {
      kernel_shape: [kh, kw],
      strides,
      pads,
      dilations,
      group,
      ...(activation ? { activation: activation.kind } : {}),
      ...(activation?.params ? { activation_params: { type: 'floats', value: activation.params } as const } : {}),
    },
    shape: options.shape ?? [n, o, out(h, 0, kh), out(wide, 1, kw)],
  })
}

/** Multiplies each channel by `a` ([Cp]) and adds `shift`: a depthwise 1x1 convolution. */
export function scaleChannels(
  g: Emitter,
  x: string,
  a: string,
  options: BlockedConv & { shift?: string } = {},
): string {
  const c = g.shape(x)[1]
  const { shift, ...rest } = options
  return blockedConv(g, x, reshape(g, a, [c, 1, 1, 1]), { ...rest, bias: shift, group: c })
}

/** Σ over N, H, W: [Cp]. */
export function sumToChannels(g: Emitter, x: string): string {
  const [n, c, h, w] = g.shape(x)
  if (h * w === 1) return sum(g, reshape(g, x, [n, c]), [0])
  const mean = g.op('GlobalAveragePool', [x], { domain: blockedDomain, shape: [n, c, 1, 1] })
  return g.op('Mul', [sum(g, reshape(g, mean, [n, c]), [0]), g.constant(h * w)])
}

/** The mean over N, H, W: [Cp]. */
export function meanOfChannels(g: Emitter, x: string): string {
  const [n, c, h, w] = g.shape(x)
  const means = h * w === 1 ? x : g.op('GlobalAveragePool', [x], { domain: blockedDomain, shape: [n, c, 1, 1] })
  return reduce(g, 'ReduceMean', reshape(g, means, [n, c]), { axes: [0] })
}

/** Σ over N, H, W of x·y: [Cp]. Each channel of each sample is an image, and the other tensor's its kernel. */
export function dotToChannels(g: Emitter, x: string, y: string): string {
  const [n, c, h, w] = g.shape(x)
  const kernels = reshape(g, y, [n * c, 1, h, w])
  const products = blockedConv(g, reshape(g, x, [1, n * c, h, w]), kernels, { group: n * c })
  return sum(g, reshape(g, products, [n, c]), [0])
}

export interface ConvShape {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  /** All begins, then all ends. */
  readonly pads: readonly number[]
}

/** Dense weights for the way back: OIHWBiBo with in and out swapped and every kernel turned round. */
function turnedDense(g: Emitter, w: string, block: number): string {
  const [o, i, kh, kw] = g.shape(w)
  const area = kh * kw
  const tiles = (o * i * area) / (block * block)
  // Swapping the two innermost axes as a batch of small transposes is what the reordering kernel is quick at.
  const swapped = g.op('ReorderOutput', [reshape(g, w, [tiles, block, block, 1])], {
    domain: blockedDomain,
    attributes: { channels: block },
    shape: [tiles, block, block, 1],
  })
  const turned = reverseAxis(g, reshape(g, swapped, [o / block, i / block, area, block * block]), 2)
  return reshape(g, transpose(g, turned, [1, 0, 2, 3]), [i, o, kh, kw])
}

function reverseAxis(g: Emitter, a: string, axis: number): string {
  const size = g.shape(a)[axis]
  if (size === 1) return a
  return slice(g, a, { axes: [axis], starts: [size - 1], ends: [-size - 1], steps: [-1] })
}

/** Puts s - 1 zeros after each row and column: [N, Cp, sH, sW]. */
function spread(g: Emitter, x: string, strides: readonly number[], block: number): string {
  const [n, c, h, w] = g.shape(x)
  const rows = reshape(g, x, [(n * c * h) / block, 1, w, block])
  const opened = pad(g, rows, [0, 0, 0, 0, 0, strides[0] - 1, 0, block * (strides[1] - 1)])
  return reshape(g, opened, [n, c, h * strides[0], w * strides[1]])
}

/** dx of a dense convolution; `shape` is x's, `sum` is added. Undefined where no way is known. */
export function denseGradX(
  g: Emitter,
  w: string,
  dy: string,
  { kernel, strides, pads, shape, block }: ConvShape & { readonly shape: Shape; readonly block: number },
): string | undefined {
  const reach = kernel.map((k, i) => k - 1 - pads[i])
  if (reach.some((r) => r < 0)) return undefined
  const turned = turnedDense(g, w, block)
  if (strides.every((s) => s === 2)) {
    const phases = phaseGradX(g, turned, dy, { kernel, pads, shape, block })
    if (phases) return phases
  }
  const open = strides.every((s) => s === 1) ? dy : spread(g, dy, strides, block)
  return closingConv(g, open, turned, { kernel, reach, shape, group: 1 })
}

/** The convolution that ends dx: end pads are whatever makes x's size; rows too many are cut off. */
function closingConv(
  g: Emitter,
  open: string,
  turned: string,
  { kernel, reach, shape, group }: { kernel: Shape; reach: readonly number[]; shape: Shape; group: number },
): string | undefined {
  const ends = kernel.map((k, i) => shape[i + 2] - g.shape(open)[i + 2] + k - 1 - reach[i])
  if (ends.some((e) => e < 0)) return undefined
  return blockedConv(g, open, turned, { pads: [...reach, ...ends], group })
}

interface Phases {
  readonly kernel: Shape
  readonly pads: Shape
  readonly shape: Shape
  readonly block: number
}

/**
 * Stride 2 by the four phases of the output: dx[2a + r] only meets the kernel's taps of one parity, so each phase is a
 * small convolution of dy, and the four are interleaved. No multiplication by inserted zeros.
 */
function phaseGradX(
  g: Emitter,
  turned: string,
  dy: string,
  { kernel, pads, shape, block }: Phases,
): string | undefined {
  const [n, , h, w] = shape
  const [i, o, kh, kw] = g.shape(turned)
  const half = [Math.ceil(h / 2), Math.ceil(w / 2)]
  const taps = (r: number, axis: number): number[] =>
    Array.from({ length: kernel[axis] }, (_, t) => t).filter((t) => (r + t - (kernel[axis] - 1 - pads[axis])) % 2 === 0)
  const cells = reshape(g, turned, [i / block, o / block, kh, kw, block * block])
  const phase = (ty: readonly number[], tx: readonly number[], r: number, c: number): string | undefined => {
    const part = slice(g, cells, {
      axes: [2, 3],
      starts: [ty[0], tx[0]],
      ends: [ty[ty.length - 1] + 1, tx[tx.length - 1] + 1],
      steps: [2, 2],
    })
    const weights = reshape(g, part, [i, o, ty.length, tx.length])
    const begin = [ty[0] + r, tx[0] + c].map((t, axis) => -(t - (kernel[axis] - 1 - pads[axis])) / 2)
    const lengths = [ty.length, tx.length]
    const end = half.map((size, axis) => size - (g.shape(dy)[axis + 2] + begin[axis]) + lengths[axis] - 1)
    if ([...begin, ...end].some((p) => p < 0)) return undefined
    return blockedConv(g, dy, weights, { pads: [...begin, ...end] })
  }
  const rows: string[] = []
  for (const r of [0, 1]) {
    const columns: string[] = []
    for (const c of [0, 1]) {
      const [ty, tx] = [taps(r, 0), taps(c, 1)]
      const empty = ty.length === 0 || tx.length === 0
      const made = empty ? zeros(g, [n, i, ...half]) : phase(ty, tx, r, c)
      if (!made) return undefined
      columns.push(reshape(g, made, [(n * i * half[0] * half[1]) / block, block]))
    }
    rows.push(reshape(g, concat(g, columns, 1), [(n * i * half[0]) / block, half[1] * 2 * block]))
  }
  const whole = reshape(g, concat(g, rows, 1), [n, i / block, half[0] * 2, half[1] * 2 * block])
  const even = h % 2 === 0 && w % 2 === 0
  const cut = even ? whole : slice(g, whole, { axes: [2, 3], starts: [0, 0], ends: [h, w * block] })
  return reshape(g, cut, [n, i, h, w])
}

const zeros = (g: Emitter, shape: Shape): string =>
  g.op('ConstantOfShape', [g.ints(shape)], { shape, dtype: 'float32' })

/** dx of a depthwise convolution. */
export function depthwiseGradX(
  g: Emitter,
  w: string,
  dy: string,
  { kernel, strides, pads, shape, block }: ConvShape & { readonly shape: Shape; readonly block: number },
): string | undefined {
  const reach = kernel.map((k, i) => k - 1 - pads[i])
  if (reach.some((r) => r < 0)) return undefined
  const [c, , kh, kw] = g.shape(w)
  const turned = reshape(g, reverseAxis(g, reshape(g, w, [c / block, kh * kw, block]), 1), [c, 1, kh, kw])
  const open = strides.every((s) => s === 1) ? dy : spread(g, dy, strides, block)
  return closingConv(g, open, turned, { kernel, reach, shape, group: c })
}

/** End pads (negative: rows that no window reads) for which the gradient's convolution gives exactly the kernel. */
function exactEnds(size: Shape, out: Shape, { kernel, strides, pads }: ConvShape): number[] {
  return kernel.map((k, i) => k + strides[i] * (out[i + 2] - 1) - size[i + 2] - pads[i])
}

/** dw of a depthwise convolution: every channel of every sample is a channel, and its dy the kernel. */
export function depthwiseGradW(g: Emitter, x: string, dy: string, conv: ConvShape & { block: number }): string {
  const [n, c, h, w] = g.shape(x)
  const { block, kernel, strides, pads } = conv
  const [, , oh, ow] = g.shape(dy)
  const ends = exactEnds(g.shape(x), g.shape(dy), conv)
  const cut = ends.map((e) => Math.min(0, e))
  const [kept, keptW] = [h + cut[0], w + cut[1]]
  const image = cut.every((e) => e === 0)
    ? x
    : slice(g, reshape(g, x, [n, c / block, h, w * block]), {
        axes: [2, 3],
        starts: [0, 0],
        ends: [kept, keptW * block],
      })
  const products = blockedConv(g, reshape(g, image, [1, n * c, kept, keptW]), reshape(g, dy, [n * c, 1, oh, ow]), {
    pads: [pads[0], pads[1], Math.max(0, ends[0]), Math.max(0, ends[1])],
    dilations: strides,
    group: n * c,
  })
  const area = kernel[0] * kernel[1]
  return reshape(g, sum(g, reshape(g, products, [n, c * area]), [0]), [c, 1, ...kernel])
}

/** dw of a dense convolution, in OIHWBiBo. */
export function denseGradW(g: Emitter, x: string, dy: string, conv: ConvShape & { block: number }): string {
  const [n, i, h, w] = g.shape(x)
  const [, o, oh, ow] = g.shape(dy)
  const pointwise = conv.kernel.every((k) => k === 1) && conv.strides.every((s) => s === 1)
  if (pointwise && conv.pads.every((p) => p === 0) && (h * w <= 16 || h * w * n * 48 < o * i))
    return rowsGradW(g, x, dy, conv.block)
  return bySamples(g, x, dy, conv.block, (a, b) => samplesGradW(g, a, b, { ...conv, out: [oh, ow] }))
}

/** 1x1 on small maps: rows of channels and one matrix product. */
function rowsGradW(g: Emitter, x: string, dy: string, block: number): string {
  const [i, o] = [g.shape(x)[1], g.shape(dy)[1]]
  const product = matMul(g, transpose(g, toRows(g, x), [1, 0]), toRows(g, dy)) // [I, O]
  const blocks = transpose(g, reshape(g, product, [i, o / block, block]), [1, 0, 2])
  return reshape(g, blocks, [o, i, 1, 1])
}

/**
 * A convolution with one group a sample needs fewer samples than B, or a multiple of it: else the batch is split.
 * (Kernels with B or more input channels a group read them as blocked, which dy is not: groups of samples stay below B.)
 */
function bySamples(g: Emitter, x: string, dy: string, block: number, make: (x: string, dy: string) => string): string {
  const n = g.shape(x)[0]
  if (n < block || n % block === 0) return make(x, dy)
  const first = n - (n % block)
  const parts = (v: string): string[] => {
    const [, ...rest] = g.shape(v)
    const types = [first, n - first].map((m) => ({ dtype: 'float32', shape: [m, ...rest] }) as const)
    return g.ops('Split', [v, g.ints([first, n - first])], types, { attributes: { axis: 0 } })
  }
  const [xs, dys] = [parts(x), parts(dy)]
  return add(g, make(xs[0], dys[0]), make(xs[1], dys[1]))
}

/** How many samples share a group: more where the sums of each sample outweigh the activations. */
function samplesPerGroup(n: number, sumSize: number, limit: number, block: number): number {
  let count = 1
  while (count < block / 2 && n % (count * 2) === 0 && (n / count) * sumSize > limit) count *= 2
  return count
}

/** dy with `count` samples per group: [N/count · O, count, OH, OW]. */
function groupedKernels(g: Emitter, dy: string, count: number, block: number): string {
  const [n, o, oh, ow] = g.shape(dy)
  const folded =
    count === 1 ? dy : transpose(g, reshape(g, dy, [n / count, count, o / block, oh * ow * block]), [0, 2, 1, 3])
  return reshape(g, folded, [(n / count) * o, count, oh, ow])
}

/**
 * Blocked x, read again as plain images [I/B, N, H, W·B] whose width is W·B lanes; one group a sample (or a few), whose
 * kernel is that sample's dy, whose blocked memory already is OIHWBo; dilation [s, s·B]. No lanes are transposed.
 */
function samplesGradW(
  g: Emitter,
  x: string,
  dy: string,
  conv: ConvShape & { readonly block: number; readonly out: Shape },
): string {
  const { block, kernel, strides, pads, out } = conv
  const [n, i, h, w] = g.shape(x)
  const o = g.shape(dy)[1]
  const [kh, kw] = kernel
  const count = samplesPerGroup(n, o * i * kh * kw, 4e6, block)
  const groups = n / count
  const kernels = groupedKernels(g, dy, count, block)
  const ends = exactEnds(g.shape(x), g.shape(dy), conv)
  const padded = pad(g, reshape(g, x, [n, i / block, h, w * block]), [
    0,
    0,
    pads[0],
    pads[1] * block,
    0,
    0,
    ends[0],
    ends[1] * block,
  ])
  const [, , hp, wp] = g.shape(padded)
  const image = i > block ? transpose(g, padded, [1, 0, 2, 3]) : padded
  const products = blockedConv(
    g,
    reshape(g, image, [i / block, n, hp, wp]),
    reshape(g, kernels, [groups * o, count, ...out]),
    {
      dilations: [strides[0], strides[1] * block],
      group: groups,
      shape: [i / block, groups * o, kh, kw * block],
    },
  )
  const total = groups > 1 ? sum(g, reshape(g, products, [i / block, groups, o * kh * kw * block]), [1]) : products
  const swapped = transpose(g, reshape(g, total, [i / block, o / block, kh * kw * block * block]), [1, 0, 2])
  return reshape(g, swapped, [o, i, kh, kw])
}

/** dw of a first layer, in OIHWBo: x is plain [N, I, H, W] with I below B. */
export function firstGradW(g: Emitter, x: string, dy: string, conv: ConvShape & { block: number }): string {
  return bySamples(g, x, dy, conv.block, (a, b) => {
    const { block, kernel, strides, pads } = conv
    const [n, i] = g.shape(a)
    const [, o, oh, ow] = g.shape(b)
    const [kh, kw] = kernel
    const count = samplesPerGroup(n, o * i * kh * kw, 1e6, block)
    const groups = n / count
    const ends = exactEnds(g.shape(a), g.shape(b), conv)
    const padded = pad(g, a, [0, 0, pads[0], pads[1], 0, 0, ends[0], ends[1]])
    const [, , hp, wp] = g.shape(padded)
    const image = i > 1 ? transpose(g, padded, [1, 0, 2, 3]) : padded
    const kernels = reshape(g, groupedKernels(g, b, count, block), [groups * o, count, oh, ow])
    const products = blockedConv(g, reshape(g, image, [i, n, hp, wp]), kernels, {
      dilations: strides,
      group: groups,
      shape: [i, groups * o, kh, kw],
    })
    const total = groups > 1 ? sum(g, reshape(g, products, [i, groups, o * kh * kw]), [1]) : products
    const swapped = transpose(g, reshape(g, total, [i, o / block, kh * kw * block]), [1, 0, 2])
    return reshape(g, swapped, [o, i, kh, kw])
  })
}
