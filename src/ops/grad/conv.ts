/**
 * Backward rules of convolutions.
 *
 * A convolution is bilinear in x and w, so three operators are closed under differentiation: y = Conv(x, w),
 * dx = ConvGradX(w, dy), dw = ConvGradW(x, dy). The last two are macros that a later pass expands in the way that is
 * quickest for the machine (`lowerPlain` with standard operators). They carry strides, pads (explicit), dilations and
 * group; the type of their output says the rest.
 */
import { intAttribute, intsAttribute, stringAttribute } from '../../graph/walk.ts'
import type { Node } from '../../model.ts'
import { type Emitter, pad, type Shape, sum } from './emit.ts'
import { type GradRule, macroDomain } from './rule.ts'

/** A sliding window's geometry, with every default and auto_pad resolved. */
export interface Window {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  /** All begins, then all ends. */
  readonly pads: readonly number[]
}

export interface ConvGeometry extends Window {
  readonly group: number
}

/** `input` and `output` are spatial sizes. Ends of pads are widened where ceil_mode reads beyond them. */
export function windowOf(node: Node, kernel: Shape, input: Shape): Window {
  const rank = kernel.length
  const ones = kernel.map(() => 1)
  const strides = intsAttribute(node, 'strides') ?? ones
  const dilations = intsAttribute(node, 'dilations') ?? ones
  const autoPad = stringAttribute(node, 'auto_pad', 'NOTSET')
  let pads = intsAttribute(node, 'pads') ?? [...ones, ...ones].map(() => 0)
  if (autoPad === 'VALID') pads = pads.map(() => 0)
  if (autoPad.startsWith('SAME')) {
    const totals = kernel.map((k, i) =>
      Math.max(0, (Math.ceil(input[i] / strides[i]) - 1) * strides[i] + dilations[i] * (k - 1) + 1 - input[i]),
    )
    const begins = totals.map((t) => (autoPad === 'SAME_LOWER' ? Math.ceil(t / 2) : Math.floor(t / 2)))
    pads = [...begins, ...totals.map((t, i) => t - begins[i])]
  }
  return { kernel: [...kernel], strides, dilations, pads: pads.slice(0, 2 * rank) }
}

export function convGeometry(node: Node, x: Shape, w: Shape): ConvGeometry {
  return { ...windowOf(node, w.slice(2), x.slice(2)), group: intAttribute(node, 'group', 1) }
}

const attributesOf = ({ kernel, strides, dilations, pads, group }: ConvGeometry) => ({
  kernel_shape: kernel,
  strides,
  dilations,
  pads,
  group,
})

/** Negative pads, which Conv does not take, crop x. */
export function conv(g: Emitter, x: string, w: string, options: ConvGeometry & { readonly shape: Shape }): string {
  const rank = options.kernel.length
  const crop = options.pads.map((p) => Math.min(0, p))
  const trimmed = pad(g, x, [0, 0, ...crop.slice(0, rank), 0, 0, ...crop.slice(rank)])
  const attributes = attributesOf({ ...options, pads: options.pads.map((p) => Math.max(0, p)) })
  return g.op('Conv', [trimmed, w], { attributes, shape: options.shape })
}

export const convGradX = (g: Emitter, w: string, dy: string, options: ConvGeometry & { shape: Shape }): string =>
  g.op('ConvGradX', [w, dy], { attributes: attributesOf(options), shape: options.shape, domain: macroDomain })

export const convGradW = (g: Emitter, x: string, dy: string, options: ConvGeometry & { shape: Shape }): string =>
  g.op('ConvGradW', [x, dy], { attributes: attributesOf(options), shape: options.shape, domain: macroDomain })

/** The bias's gradient: the sum over all but the channels. */
function sumToChannels(g: Emitter, dy: string): string {
  return sum(
    g,
    dy,
    [0, ...g.shape(dy).keys()].filter((axis, i) => i === 0 || axis >= 2),
  )
}

export const convRules: Readonly<Record<string, GradRule>> = {
  Conv: (g, at) => {
    const [x, w, b] = at.x
    const geometry = convGeometry(at.node, g.shape(x), g.shape(w))
    return [
      at.needs(0) ? convGradX(g, w, at.dy, { ...geometry, shape: g.shape(x) }) : undefined,
      at.needs(1) ? convGradW(g, x, at.dy, { ...geometry, shape: g.shape(w) }) : undefined,
      b && at.needs(2) ? sumToChannels(g, at.dy) : undefined,
    ]
  },
  'coppice.ConvGradX': (g, at) => {
    const [w, dy] = at.x
    const geometry = convGeometry(at.node, g.shape(at.dy), g.shape(w))
    return [
      at.needs(0) ? convGradW(g, at.dy, dy, { ...geometry, shape: g.shape(w) }) : undefined,
      at.needs(1) ? conv(g, at.dy, w, { ...geometry, shape: g.shape(dy) }) : undefined,
    ]
  },
  'coppice.ConvGradW': (g, at) => {
    const [x, dy] = at.x
    const geometry = convGeometry(at.node, g.shape(x), g.shape(at.dy))
    return [
      at.needs(0) ? convGradX(g, at.dy, dy, { ...geometry, shape: g.shape(x) }) : undefined,
      at.needs(1) ? conv(g, x, at.dy, { ...geometry, shape: g.shape(dy) }) : undefined,
    ]
  },
  /** y = ConvGradX(w, x) of the convolution that it transposes. */
  ConvTranspose: (g, at) => {
    const [x, w, b] = at.x
    const geometry = transposedGeometry(at.node, g.shape(x), g.shape(w), g.shape(at.y[0]))
    return [
      at.needs(0) ? conv(g, at.dy, w, { ...geometry, shape: g.shape(x) }) : undefined,
      at.needs(1) ? convGradW(g, at.dy, x, { ...geometry, shape: g.shape(w) }) : undefined,
      b && at.needs(2) ? sumToChannels(g, at.dy) : undefined,
    ]
  },
}

/**
 * The convolution from y back to x. Its end pads follow from the sizes: output_padding rows that the convolution does
 * not reach make them smaller, even negative, which is then cropped.
 */
function transposedGeometry(node: Node, x: Shape, w: Shape, y: Shape): ConvGeometry {
  const kernel = w.slice(2)
  const { strides, dilations, pads } = windowOf(node, kernel, [])
  const autoPad = stringAttribute(node, 'auto_pad', 'NOTSET')
  const given = intsAttribute(node, 'output_shape')
  const begins = kernel.map((k, i) => {
    if (!given && !autoPad.startsWith('SAME')) return pads[i]
    const extra = intsAttribute(node, 'output_padding')?.[i] ?? 0
    const total = Math.max(0, strides[i] * (x[i + 2] - 1) + extra + dilations[i] * (k - 1) + 1 - y[i + 2])
    return autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2)
  })
  const ends = kernel.map((k, i) => strides[i] * (x[i + 2] - 1) + dilations[i] * (k - 1) + 1 - y[i + 2] - begins[i])
  return { kernel, strides, dilations, pads: [...begins, ...ends], group: intAttribute(node, 'group', 1) }
}
