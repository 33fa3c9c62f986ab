/**
 * Blocked layout (NCHWc), as ONNX Runtime's CPU kernels compute in it: blocks of B channels are innermost.
 *
 * Activations: [N, C/B, H, W, B]. Weights of dense convolutions: OIHWBiBo = [O/B, I/B, kh, kw, Bi, Bo]; of depthwise
 * and first layers (plain input of fewer than B channels): OIHWBo = [O/B, I, kh, kw, Bo]. Channels are padded to a
 * multiple of B with zeros. Values keep the shape they stand for, [N, Cp, H, W] or [Op, Ip, kh, kw], with Cp padded.
 */
import { type Emitter, pad, reshape, type Shape, slice, transpose } from '../../ops/grad/emit.ts'

/** ONNX Runtime's internal operator domain. It loads from models, but nothing promises that it stays: see self-test. */
export const blockedDomain = 'com.microsoft.nchwc'

export type WeightKind = 'dense' | 'depthwise' | 'first'

export const padTo = (n: number, block: number): number => Math.ceil(n / block) * block

/** The shape that a weight [O, I, kh, kw] is stored with. */
export function storedWeightShape([o, i, ...kernel]: Shape, kind: WeightKind, block: number): number[] {
  return [padTo(o, block), kind === 'dense' ? padTo(i, block) : i, ...kernel]
}

/** Where element (o, i, k) of a weight lies in its stored form. */
function placeOf(shape: Shape, kind: WeightKind, block: number): (o: number, i: number, k: number) => number {
  const [, stored, ...kernel] = storedWeightShape(shape, kind, block)
  const area = kernel.reduce((n, d) => n * d, 1)
  if (kind !== 'dense') return (o, i, k) => ((Math.floor(o / block) * stored + i) * area + k) * block + (o % block)
  const blocks = stored / block
  return (o, i, k) =>
    (((Math.floor(o / block) * blocks + Math.floor(i / block)) * area + k) * block + (i % block)) * block + (o % block)
}

interface Packing {
  pack(values: Float32Array): Float32Array
  unpack(stored: Float32Array): Float32Array
}

export function weightPacking(shape: Shape, kind: WeightKind, block: number): Packing {
  const [o, i, ...kernel] = shape
  const area = kernel.reduce((n, d) => n * d, 1)
  const place = placeOf(shape, kind, block)
  const size = storedWeightShape(shape, kind, block).reduce((n, d) => n * d, 1)
  const visit = (each: (plain: number, stored: number) => void): void => {
    for (let a = 0; a < o; a++)
      for (let b = 0; b < i; b++) for (let k = 0; k < area; k++) each((a * i + b) * area + k, place(a, b, k))
  }
  return {
    pack(values) {
      const out = new Float32Array(size)
      visit((plain, stored) => {
        out[stored] = values[plain]
      })
      return out
    },
    unpack(stored) {
      const out = new Float32Array(o * i * area)
      visit((plain, at) => {
        out[plain] = stored[at]
      })
      return out
    },
  }
}

/** A plain weight into stored form, in the graph. */
export function blockWeight(g: Emitter, w: string, kind: WeightKind, block: number): string {
  const shape = g.shape(w)
  const stored = storedWeightShape(shape, kind, block)
  const [o, i, ...kernel] = stored
  const padded = pad(g, w, [0, 0, 0, 0, o - shape[0], i - shape[1], 0, 0])
  if (kind !== 'dense')
    return reshape(g, transpose(g, reshape(g, padded, [o / block, block, i, ...kernel]), [0, 2, 3, 4, 1]), stored)
  const split = reshape(g, padded, [o / block, block, i / block, block, ...kernel])
  return reshape(g, transpose(g, split, [0, 2, 4, 5, 3, 1]), stored)
}

/** A stored weight back into plain form of `shape`, in the graph. */
export function unblockWeight(g: Emitter, w: string, shape: Shape, kind: WeightKind, block: number): string {
  const [o, i, ...kernel] = storedWeightShape(shape, kind, block)
  const plain =
    kind === 'dense'
      ? transpose(g, reshape(g, w, [o / block, i / block, ...kernel, block, block]), [0, 5, 1, 4, 2, 3])
      : transpose(g, reshape(g, w, [o / block, i, ...kernel, block]), [0, 4, 1, 2, 3])
  return crop(g, reshape(g, plain, [o, i, ...kernel]), shape)
}

/** The leading part of a value that has the given shape. */
export function crop(g: Emitter, a: string, shape: Shape): string {
  const axes = shape.map((_, i) => i).filter((i) => g.shape(a)[i] !== shape[i])
  if (axes.length === 0) return a
  return slice(g, a, { axes, starts: axes.map(() => 0), ends: axes.map((axis) => shape[axis]) })
}

/** [N, C, H, W] into blocked form. */
export function blockActivation(g: Emitter, x: string, block: number): string {
  const [n, c, h, w] = g.shape(x)
  const cp = padTo(c, block)
  if (h * w === 1) return pad(g, x, [0, 0, 0, 0, 0, cp - c, 0, 0])
  // The kernel pads a number of channels that four divides by itself.
  const even = c % 4 === 0 ? x : pad(g, x, [0, 0, 0, 0, 0, cp - c, 0, 0])
  return g.op('ReorderInput', [even], { domain: blockedDomain, shape: [n, cp, h, w] })
}

/** Blocked form back into [N, C, H, W]. */
export function unblockActivation(g: Emitter, x: string, channels: number): string {
  const [n, , h, w] = g.shape(x)
  if (h * w === 1) return crop(g, x, [n, channels, h, w])
  return g.op('ReorderOutput', [x], { domain: blockedDomain, attributes: { channels }, shape: [n, channels, h, w] })
}

/** Blocked form into rows of channels: [N·H·W, Cp]. */
export function toRows(g: Emitter, x: string): string {
  const [n, c, h, w] = g.shape(x)
  if (h * w === 1) return reshape(g, x, [n, c])
  const rows = g.op('ReorderOutput', [x], {
    domain: blockedDomain,
    attributes: { channels: c, channels_last: 1 },
    shape: [n, h, w, c],
  })
  return reshape(g, rows, [n * h * w, c])
}
