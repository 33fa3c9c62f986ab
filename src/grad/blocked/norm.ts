/** Normalisation by the batch's statistics, and its way back, in blocked layout. Handlers as in handlers.ts. */
import { floatAttribute } from '../../graph/walk.ts'
import { div, type Emitter, mul, neg, nestedGraph, reduce, scale, shift, sub } from '../../ops/grad/emit.ts'
import { dotToChannels, meanOfChannels, scaleChannels } from './kernels.ts'
import type { Handler, Lowering } from './lowering.ts'

/** Statistics by sums over channels; y = x·a + shift with a = scale / sqrt(var + eps) is left pending. */
export const batchNormTrain: Handler = (l, node) => {
  const [x, gamma, beta] = node.inputs
  if (l.shape(x).length !== 4 || !l.isBlocked(x)) return false
  const { g } = l
  const [n, c, h, w] = l.shape(x)
  const value = l.blocked(x)
  const m = n * h * w
  const mean = meanOfChannels(g, value)
  const epsilon = floatAttribute(node, 'epsilon', 1e-5)
  const quick = quickVariance(g, value, mean, m)
  const variance = staysNearZero(l, x) ? quick : exactVariance(g, value, { mean, quick, m, epsilon })
  const inverse = g.op('Reciprocal', [g.op('Sqrt', [shift(g, variance, epsilon)])])
  const a = mul(g, l.vector(gamma), inverse)
  const offset = sub(g, l.vector(beta), mul(g, mean, a))
  const [y, meanName, varianceName] = node.outputs
  l.setPlain(meanName, l.cropVector(mean, c))
  l.setPlain(varianceName, l.cropVector(variance, c))
  l.notes.set(meanName, [mean, inverse, a])
  l.setPending(y, {
    takesSum: true,
    emit: (sum, activation) => scaleChannels(g, value, a, { shift: offset, sum, activation }),
  })
  return true
}

/** dx = dy·a + x·b + c with the coefficients that batchNormGrad (ops/grad/norm.ts) derives. */
export const batchNormTrainGrad: Handler = (l, node) => {
  const [x, , meanName, , dyName] = node.inputs
  const kept = l.notes.get(meanName)
  if (!kept) return false
  const [mean, inverse, a] = kept
  const { g } = l
  const [n, c, h, w] = l.shape(x)
  const m = n * h * w
  const [value, dy] = [l.blocked(x), l.blocked(dyName)]
  // Means over the batch instead of sums: dBias/m and dScale/m.
  const bias = meanOfChannels(g, dy)
  const slope = mul(g, sub(g, scale(g, dotToChannels(g, value, dy), 1 / m), mul(g, mean, bias)), inverse)
  const b = mul(g, mul(g, a, inverse), slope)
  const [dx, dGamma, dBeta] = node.outputs
  const rest = scaleChannels(g, value, neg(g, b), { shift: sub(g, mul(g, b, mean), mul(g, a, bias)) })
  l.setBlocked(dx, scaleChannels(g, dy, a, { sum: rest }))
  const [dScale, dBias] = [scale(g, slope, m), scale(g, bias, m)]
  l.setPlain(dGamma, l.cropVector(dScale, c))
  l.setPlain(dBeta, l.cropVector(dBias, c))
  return true
}

/** E[x²] - mean², in one look at the data; off by 2^-24·mean² or more. */
function quickVariance(g: Emitter, x: string, mean: string, m: number): string {
  const square = scale(g, dotToChannels(g, x, x), 1 / m)
  return g.op('Relu', [sub(g, square, mul(g, mean, mean))]) // rounding may take it below zero
}

/** Nothing is added to what a convolution makes of values that a layer before it made: its mean is of a few deviations. */
function staysNearZero(l: Lowering, x: string): boolean {
  const conv = l.producer(x)
  return conv?.op === 'Conv' && !conv.inputs[2] && l.producer(conv.inputs[0]) !== undefined
}

interface Statistics {
  readonly mean: string
  readonly quick: string
  /** Elements of a channel. */
  readonly m: number
  readonly epsilon: number
}

/** Where a mean is beyond 16 deviations, the mean is taken off first: a pass over the data that is paid only then. */
function exactVariance(g: Emitter, x: string, { mean, quick, m, epsilon }: Statistics): string {
  const worst = reduce(g, 'ReduceMax', div(g, mul(g, mean, mean), shift(g, quick, epsilon)))
  const isLarge = g.op('Greater', [worst, g.constant(16 ** 2)], { dtype: 'bool' })
  const type = { dtype: 'float32', shape: g.shape(mean) } as const
  const attributes = {
    then_branch: nestedGraph(g, [], (inner) => {
      const one = inner.constant(1, type.dtype, type.shape)
      const centred = scaleChannels(inner, x, one, { shift: neg(inner, mean) })
      return [scale(inner, dotToChannels(inner, centred, centred), 1 / m)]
    }),
    else_branch: nestedGraph(g, [], (inner) => [inner.op('Identity', [quick])]),
  }
  return g.op('If', [isLarge], { attributes, ...type })
}
