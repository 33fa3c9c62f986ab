/**
 * Backward rules of normalisations.
 *
 * Training makes of each BatchNormalization the macro `BatchNormTrain(x, scale, bias) -> y, mean, var`: statistics of
 * the batch, var by N as ONNX has it. Running statistics are kept by the training loop.
 */
import { floatAttribute, intAttribute } from '../../graph/walk.ts'
import {
  add,
  div,
  type Emitter,
  expand,
  mul,
  reduce,
  reshape,
  type Shape,
  scale,
  shift,
  sub,
  sum,
  unbroadcast,
} from './emit.ts'
import { type At, type GradRule, macroDomain } from './rule.ts'

/** A [C] vector as [C, 1, 1...], to go with [N, C, ...]. */
export function perChannel(g: Emitter, v: string, rank: number): string {
  return reshape(g, v, [g.shape(v)[0], ...Array.from({ length: rank - 2 }, () => 1)])
}

const channelAxes = (shape: Shape): number[] => shape.map((_, i) => i).filter((i) => i !== 1)
const inverseRoot = (g: Emitter, variance: string, epsilon: number): string =>
  g.op('Reciprocal', [g.op('Sqrt', [shift(g, variance, epsilon)])])

/** y = (x - mean) / sqrt(var + eps) · scale + bias with fixed statistics. */
const frozen: GradRule = (g, at) => {
  const [x, gamma, , mean, variance] = at.x
  const shape = g.shape(x)
  const inverse = inverseRoot(g, variance, floatAttribute(at.node, 'epsilon', 1e-5))
  const axes = channelAxes(shape)
  const centred = () => sub(g, x, perChannel(g, mean, shape.length))
  return [
    at.needs(0) ? mul(g, at.dy, perChannel(g, mul(g, gamma, inverse), shape.length)) : undefined,
    at.needs(1) ? mul(g, sum(g, mul(g, at.dy, centred()), axes), inverse) : undefined,
    at.needs(2) ? sum(g, at.dy, axes) : undefined,
  ]
}

interface Normalised {
  readonly x: string
  readonly gamma: string
  readonly mean: string
  readonly variance: string
  readonly dy: string
  readonly epsilon: number
}

/**
 * With m = N·H·W elements per channel, r = 1/sqrt(var + eps) and x̂ = (x - mean)·r:
 * dbias = Σ dy, dscale = Σ dy·x̂, dx = scale·r·(dy - dbias/m - x̂·dscale/m).
 */
export function batchNormGrad(g: Emitter, { x, gamma, mean, variance, dy, epsilon }: Normalised): string[] {
  const shape = g.shape(x)
  const axes = channelAxes(shape)
  const wide = (v: string): string => perChannel(g, v, shape.length)
  const m = shape.reduce((n, d) => n * d, 1) / shape[1]
  const r = inverseRoot(g, variance, epsilon)
  const dBias = sum(g, dy, axes)
  const centred = sub(g, x, wide(mean))
  const dScale = mul(g, sum(g, mul(g, dy, centred), axes), r)
  const a = mul(g, gamma, r)
  const slope = scale(g, mul(g, mul(g, a, r), dScale), -1 / m)
  const offset = scale(g, mul(g, a, dBias), -1 / m)
  const dx = add(g, add(g, mul(g, dy, wide(a)), mul(g, centred, wide(slope))), wide(offset))
  return [dx, dScale, dBias]
}

/** What the batch's mean and variance pass back to x: dMean/m + dVar·2(x - mean)/m. */
function statisticsGrad(
  g: Emitter,
  x: string,
  dMean: string | undefined,
  dVar: string | undefined,
): string | undefined {
  const shape = g.shape(x)
  const axes = channelAxes(shape)
  const m = shape.reduce((n, d) => n * d, 1) / shape[1]
  const wide = (v: string): string => perChannel(g, v, shape.length)
  const fromMean = dMean && expand(g, wide(scale(g, dMean, 1 / m)), shape)
  if (!dVar) return fromMean
  const centred = sub(g, x, reduce(g, 'ReduceMean', x, { axes, keepDims: true }))
  const fromVar = mul(g, centred, wide(scale(g, dVar, 2 / m)))
  return fromMean ? add(g, fromMean, fromVar) : fromVar
}

const joined = (g: Emitter, a: string | undefined, b: string | undefined): string | undefined =>
  a && b ? add(g, a, b) : (a ?? b)

const batchNormTrain: GradRule = (g, at) => {
  const [x, gamma] = at.x
  const more = statisticsGrad(g, x, at.dys[1], at.dys[2])
  if (!at.dys[0]) return [more]
  const vector = { dtype: g.dtype(gamma), shape: g.shape(gamma) }
  const outputs = [{ dtype: g.dtype(x), shape: g.shape(x) }, vector, vector]
  const attributes = { epsilon: at.node.attributes.epsilon }
  const inputs = [x, gamma, at.y[1], at.y[2], at.dy]
  const [dx, dScale, dBias] = g.ops('BatchNormTrainGrad', inputs, outputs, { attributes, domain: macroDomain })
  return [joined(g, dx, more), dScale, dBias]
}

/** In training form: the statistics are the batch's, and what is left of them goes into the running ones. */
const batchNormalization: GradRule = (g, at) => {
  if (intAttribute(at.node, 'training_mode', 0) === 0) return frozen(g, at)
  const [x, gamma] = at.x
  const axes = channelAxes(g.shape(x))
  const momentum = floatAttribute(at.node, 'momentum', 0.9)
  const taken = (dy: string | undefined): string | undefined => dy && scale(g, dy, 1 - momentum)
  const kept = (dy: string | undefined): string | undefined => dy && scale(g, dy, momentum)
  const more = statisticsGrad(g, x, taken(at.dys[1]), taken(at.dys[2]))
  const running = [kept(at.dys[1]), kept(at.dys[2])]
  if (!at.dys[0]) return [more, undefined, undefined, ...running]
  const mean = reduce(g, 'ReduceMean', x, { axes })
  const centred = sub(g, x, perChannel(g, mean, g.shape(x).length))
  const variance = reduce(g, 'ReduceMean', mul(g, centred, centred), { axes })
  const epsilon = floatAttribute(at.node, 'epsilon', 1e-5)
  const [dx, dScale, dBias] = batchNormGrad(g, { x, gamma, mean, variance, dy: at.dy, epsilon })
  return [joined(g, dx, more), dScale, dBias, ...running]
}

/** Normalises over `axes`; x̂ and r as above, with dŷ = dy·scale: dx = r·(dŷ - mean(dŷ) - x̂·mean(dŷ·x̂)). */
function normaliseGrad(g: Emitter, at: At, axes: readonly number[], gamma: string): { dx: string; unit: string } {
  const x = at.x[0]
  const mean = (v: string): string => reduce(g, 'ReduceMean', v, { axes, keepDims: true })
  const centred = sub(g, x, mean(x))
  const root = g.op('Sqrt', [shift(g, mean(mul(g, centred, centred)), floatAttribute(at.node, 'epsilon', 1e-5))])
  const unit = div(g, centred, root)
  const d = mul(g, at.dy, gamma)
  const dx = div(g, sub(g, sub(g, d, mean(d)), mul(g, unit, mean(mul(g, d, unit)))), root)
  return { dx, unit }
}

const layerNormalization: GradRule = (g, at) => {
  const shape = g.shape(at.x[0])
  const axis = intAttribute(at.node, 'axis', -1)
  const from = axis < 0 ? axis + shape.length : axis
  const axes = shape.map((_, i) => i)
  const { dx, unit } = normaliseGrad(g, at, axes.slice(from), at.x[1])
  const lead = (v: string, like: string): string => reshape(g, sum(g, v, axes.slice(0, from)), g.shape(like))
  return [
    dx,
    at.needs(1) ? lead(mul(g, at.dy, unit), at.x[1]) : undefined,
    at.x[2] && at.needs(2) ? lead(at.dy, at.x[2]) : undefined,
  ]
}

/** y = x·scale / sqrt(mean(x²) + eps); with r = 1 / sqrt(..) and d = dy·scale: dx = r·d - x·r³·mean(d·x). */
const rmsNormalization: GradRule = (g, at) => {
  const [x, gamma] = at.x
  const shape = g.shape(x)
  const axis = intAttribute(at.node, 'axis', -1)
  const axes = shape.map((_, i) => i).slice(axis < 0 ? axis + shape.length : axis)
  const mean = (v: string): string => reduce(g, 'ReduceMean', v, { axes, keepDims: true })
  const root = g.op('Sqrt', [shift(g, mean(mul(g, x, x)), floatAttribute(at.node, 'epsilon', 1e-5))])
  const unit = div(g, x, root)
  const d = mul(g, at.dy, gamma)
  return [
    div(g, sub(g, d, mul(g, unit, mean(mul(g, d, unit)))), root),
    at.needs(1) ? unbroadcast(g, mul(g, at.dy, unit), g.shape(gamma)) : undefined,
  ]
}

const instanceNormalization: GradRule = (g, at) => {
  const shape = g.shape(at.x[0])
  const axes = shape.map((_, i) => i).slice(2)
  const { dx, unit } = normaliseGrad(g, at, axes, perChannel(g, at.x[1], shape.length))
  return [dx, sum(g, mul(g, at.dy, unit), channelAxes(shape)), sum(g, at.dy, channelAxes(shape))]
}

export const normRules: Readonly<Record<string, GradRule>> = {
  BatchNormalization: batchNormalization,
  'coppice.BatchNormTrain': batchNormTrain,
  LayerNormalization: layerNormalization,
  RMSNormalization: rmsNormalization,
  InstanceNormalization: instanceNormalization,
}
