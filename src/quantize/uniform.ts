/**
 * Uniform scalar quantisation for size: every tensor gets the step that its effect on the output allows.
 *
 * One number, lambda, sets everything: how much the output may diverge to save one bit. For a layer whose output error E
 * (mean square) makes the model's output diverge by s·E, theory of high-rate entropy-coded quantisation gives the
 * step at which all layers trade bits at the same price, step² = C²·12·lambda / (2·ln 2·s·gain), with `gain` the output
 * error of a squared weight error (_quantize-layers.ts). s is measured: each layer alone is quantised and the outputs
 * compared on calibration inputs (task/divergence.ts); without any inputs every tensor gets the same signal-to-noise ratio.
 * A layer that wants finer levels than a grid of 16 bits has becomes float16, or stays as it is, where that costs less at
 * the same price of a bit.
 * C and the share of lambda used in the rate-distortion decision were chosen once, on training data (docs/methods/uniform.md).
 */

import { blocksOf, checkFinite, leftOutWarnings, type Moments, maxBlock } from '../calibrate/input-moments.ts'
import { type Layer, layersOf, leastOfOtherTypes, momentsOf } from '../calibrate/layers.ts'
import { stopIfAborted } from '../errors.ts'
import type { WeightTensor } from '../graph/weights.ts'
import { type Context, defineMethod } from '../method.ts'
import type { Model, Tensor } from '../model.ts'
import { Outlook } from '../progress.ts'
import { widenWeights } from '../simplify/widen-weights.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'
import { inOrder, type Workers } from '../workers.ts'
import { measuredAlone } from './_measured-alone.ts'
import {
  factorOf,
  type LayerFactor,
  type LayerPlan,
  type QuantizedModel,
  quantizeModel,
  toQuantize,
} from './_quantize-layers.ts'
import { maxLevel, nearestHalf, quantizeWeights } from './quantize-weights.ts'

const stepFactor = 1.6
const decisionShare = 0.12
/** 12 / (2 ln 2) */
const highRate = 8.656

export const uniform = defineMethod({
  id: 'uniform',
  help: 'puts weights on uniform grids for a small packed file, each tensor as coarse as the output allows',
  data: 'calibration inputs, for the sensitivity of each layer; without them every tensor gets the same signal-to-noise ratio',
  options: {
    lambda: {
      type: 'number',
      default: 1e-8,
      min: 0,
      max: 1,
      onlyWith: { bits: 'not given' },
      help: 'output divergence traded per bit; higher gives a smaller file and lower accuracy',
    },
    bits: {
      type: 'number',
      optional: true,
      min: 0.01,
      max: 16,
      help: 'in place of lambda: estimated bits per weight on average, which the search for lambda comes as near to as 1 %',
    },
    minElements: {
      type: 'number',
      was: 'minSize',
      default: 64,
      min: 1,
      integer: true,
      help: 'tensors with fewer elements are left alone',
    },
    vectors: {
      type: 'number',
      was: 'samples',
      default: 8192,
      min: 256,
      integer: true,
      onlyWith: { data: 'given' },
      help: 'input vectors per layer that second moments are taken of',
    },
    exclude: { type: 'strings', default: [], help: 'names of weights to leave alone' },
  },
  async run(model, options, context) {
    const prepared = await prepareUniform(model, options, context)
    for (const warning of leftOutWarnings(uniform.id, prepared.moments)) context.warn?.(warning)
    const lambda = options.bits === undefined ? options.lambda : await lambdaFor(prepared, options.bits, context)
    return (await quantizeAt(prepared, lambda)).model
  },
})

export interface PreparedUniform {
  readonly model: Model
  readonly layers: readonly Layer[]
  readonly moments: ReadonlyMap<string, Moments>
  readonly factors: ReadonlyMap<string, LayerFactor>
  /** Divergence of the model's output for a squared error of 1 of the layer's output, by weight name. */
  readonly sensitivity: ReadonlyMap<string, number>
  /** Squared errors of layers' outputs of which float16 makes the model's output diverge as much, of weights that it suits. */
  readonly halvesErrors: ReadonlyMap<string, number>
  /** Whether calibration inputs are real ones: biases are then put on grids too. */
  readonly calibrated: boolean
  readonly workers?: Workers
}

/** What measuring inputs and sensitivities costs beside each other, mostly. */
const costs = { inputs: 0.37, sensitivity: 0.63 }

/** Everything about a model that does not depend on lambda. */
export async function prepareUniform(
  original: Model,
  options: { readonly minElements: number; readonly vectors: number; readonly exclude: readonly string[] },
  context: Context,
): Promise<PreparedUniform> {
  // A grid is made in float32.
  const isLarge = ({ tensor }: WeightTensor): boolean => sizeOf(tensor.dims) >= leastOfOtherTypes
  const model = widenWeights(original, (w) => isLarge(w) && !options.exclude.includes(w.name))
  const layers = layersOf(model, options.minElements).filter((l) => !options.exclude.includes(l.weight.name))
  const seed = context.seed ?? 0
  const random = context.data?.groups !== undefined
  const moments = new Map<string, Moments>()
  const factors = new Map<string, LayerFactor>()
  const block = blockFor(layers)
  const parts = inParts(layers, block)
  const outlook = new Outlook(
    Object.entries(costs).map(([kind, cost]) => ({ kind, cost })),
    context.progress,
  )
  const inputsDone = outlook.begin('inputs', 'measuring inputs')
  for (const [i, part] of parts.entries()) {
    stopIfAborted(context.signal, 'uniform')
    const progress = (done: number): void => inputsDone((i + done) / parts.length)
    const limits = { samples: options.vectors, seed, alike: random, block, progress }
    const found = context.data
      ? await momentsOf(model, part, context.data.calibration, limits)
      : new Map<string, Moments>()
    for (const { weight, shape } of part) {
      const own = found.get(weight.name)
      checkFinite(uniform.id, weight.name, own, random)
      if (shape) factors.set(weight.name, factorOf(shape, own))
      // The factor says all of the second moments, which are as large.
      if (own) moments.set(weight.name, { ...own, blocks: [] })
    }
  }
  const measured = outlook.begin('sensitivity', 'measuring sensitivity')
  const { sensitivity, halvesErrors } = context.data
    ? await measureSensitivity(model, layers, factors, { ...context, progress: measured })
    : {
        sensitivity: new Map(
          layers.map((l) => [l.weight.name, 1 / Math.max(1e-30, meanSquare(floats(l.weight.tensor)))]),
        ),
        halvesErrors: new Map<string, number>(),
      }
  const calibrated = context.data !== undefined && !random
  return { model, layers, moments, factors, sensitivity, halvesErrors, calibrated, workers: context.workers }
}

/** Multiply-adds of error feedback, for all layers once, above which blocks of inputs are small: a search quantises a dozen times. */
const mostFeedback = 3e9
const smallBlock = 256

/** The most inputs whose errors compensate each other: fewer in large networks, as this takes most of their time. */
function blockFor(layers: readonly Layer[]): number {
  const feedback = layers.reduce((sum, { shape }) => {
    const { groups = 0, rows = 0, columns = 0 } = shape ?? {}
    return sum + groups * rows * blocksOf(columns).reduce((s, { size }) => s + size ** 2 / 2, 0)
  }, 0)
  return feedback > mostFeedback ? smallBlock : maxBlock
}

/** Most numbers of second moments that are measured in one run over the inputs. */
const mostMoments = 2 ** 23

/** Layers in parts whose second moments fit in memory together. */
function inParts(layers: readonly Layer[], block: number): Layer[][] {
  const parts: Layer[][] = []
  let left = 0
  for (const layer of layers) {
    const { groups = 0, columns = 0 } = layer.shape ?? {}
    const needed = groups * blocksOf(columns, block).reduce((sum, { size }) => sum + size ** 2, 0)
    if (parts.length === 0 || needed > left) {
      parts.push([])
      left = mostMoments
    }
    left -= needed
    parts[parts.length - 1].push(layer)
  }
  return parts
}

function meanSquare(values: Float32Array): number {
  let sum = 0
  for (const v of values) sum += v * v
  return sum / Math.max(1, values.length)
}

/** The plan of every layer at a price. */
export function planAt(
  { layers, factors, sensitivity, halvesErrors, calibrated }: PreparedUniform,
  lambda: number,
): Map<string, LayerPlan> {
  return new Map(
    layers.map(({ weight: { name, tensor } }) => {
      const price = lambda / (sensitivity.get(name) as number)
      const wanted = stepOf(price, factors.get(name))
      const step = Math.max(wanted, leastStep(tensor))
      // A bias error is the same everywhere, so it gets half the step that a random error would.
      const biasStep = calibrated ? 0.5 * Math.sqrt(highRate * price) : undefined
      const asFloats = wanted < step ? { asFloats: { price, halvesError: halvesErrors.get(name) } } : {}
      return [name, { step, lambda: decisionShare * price, ...asFloats, ...(biasStep ? { biasStep } : {}) }]
    }),
  )
}

/** The finest step that keeps the largest weight within the levels. */
function leastStep(tensor: Tensor): number {
  let largest = 0
  for (const v of floats(tensor)) largest = Math.max(largest, Math.abs(v))
  return largest / (maxLevel - 1)
}

function stepOf(price: number, factor: LayerFactor | undefined): number {
  return Math.max(1e-30, stepFactor * Math.sqrt((highRate * price) / (factor?.gain ?? 1)))
}

/** The model quantised at a price. */
export function quantizeAt(
  prepared: PreparedUniform,
  lambda: number,
  progress?: (done: number) => void,
): Promise<QuantizedModel> {
  const { model, moments, factors, workers } = prepared
  const plan = planAt(prepared, lambda)
  const told = (done: number): void => progress?.(done)
  return quantizeModel(model, { plan, moments, factors, workers, progress: told, stages: 0, samples: 0, seed: 0 })
}

/** The lambda at which weights take so many bits on average, or up to 1 % fewer. */
async function lambdaFor(prepared: PreparedUniform, bits: number, { signal, progress }: Context): Promise<number> {
  const size = prepared.layers.reduce((n, { weight }) => n + sizeOf(weight.tensor.dims), 0)
  // In octaves: bits fall as lambda rises.
  let [low, high] = [-80, 0]
  for (let round = 0; size > 0; round++) {
    stopIfAborted(signal, 'uniform')
    const middle = (low + high) / 2
    const found = (await quantizeAt(prepared, 2 ** middle)).bits / size
    progress?.(Math.min(1, round / 16), 'looking for the price of a bit')
    if (found <= bits && (found >= 0.99 * bits || round > 24)) return 2 ** middle
    if (found > bits) low = middle
    else high = middle
    if (round > 32)
      throw new Error(`uniform: bits is ${bits}; expected at least ${found.toFixed(2)}, what the coarsest grid takes`)
  }
  return 0
}

/** About the price at which sensitivities are measured: they depend on it little, but noise far coarser saturates. */
const referencePrice = 2e-8
/** The step that a costly layer's sensitivity is measured at, of the root mean square of its weights: noise of 1/200 of their power. */
const onlyStep = 0.25

/**
 * Divergence by squared layer-output error, from quantising each layer alone: coarsely first, then at the step that this
 * suggests. Where that would take too long, once, on the first random inputs of each range: a sum over many outputs needs
 * few samples.
 */
async function measureSensitivity(
  model: Model,
  layers: readonly Layer[],
  factors: ReadonlyMap<string, LayerFactor>,
  context: Context,
): Promise<Pick<PreparedUniform, 'sensitivity' | 'halvesErrors'>> {
  const { once, ...alone } = await measuredAlone(model, { count: layers.length, context, subject: 'uniform' })
  const sensitivity = new Map<string, number>()
  const halvesErrors = new Map<string, number>()
  const sizeOfWeights = (layer: Layer): number => Math.sqrt(meanSquare(floats(layer.weight.tensor))) || 1
  const quantizedAt = (layer: Layer, step: number) =>
    toQuantize(layer, { step, lambda: 0 }, factors.get(layer.weight.name))
  const firstStep = (layer: Layer): number =>
    Math.max((once ? onlyStep : 1) * sizeOfWeights(layer), leastStep(layer.weight.tensor))
  const first = inOrder(
    context.workers,
    quantizeWeights,
    layers.map((layer) => () => quantizedAt(layer, firstStep(layer))),
  )
  let measured = 0
  // What each layer's weights cost at noise of the same share of their power; and layers that no sample reaches.
  let dearest = 0
  const unreached = new Map<string, number>()
  for await (const coarse of first) {
    const layer = layers[measured++]
    const { name, tensor } = layer.weight
    await alone.moveTo(layer.weight)
    const measure = async ({ values, error }: typeof coarse, step: number): Promise<number> => {
      const quantized = floatTensor(tensor.name, tensor.dims, values)
      const divergence = await alone.divergence(tensor, quantized)
      // An output that the noise breaks (a logarithm of what got negative) says nothing of how far it is: less noise does.
      const finer = step / 4
      const isBroken = !Number.isFinite(divergence)
      if (isBroken && finer > leastStep(tensor)) return measure(quantizeWeights(quantizedAt(layer, finer)), finer)
      if (isBroken || (divergence === 0 && error > 0)) unreached.set(name, coarse.error)
      else unreached.delete(name)
      // A layer that changes nothing (all zero, or exactly on the grid) counts as barely sensitive, not as free.
      const floor = 1e-12 / Math.max(1e-30, error)
      return Math.max(error > 0 && !isBroken ? divergence / error : 0, floor, 1e-12)
    }
    let found = await measure(coarse, firstStep(layer))
    if (!once) {
      const suggested = Math.max(stepOf(referencePrice / found, factors.get(name)), leastStep(tensor))
      found = await measure(quantizeWeights(quantizedAt(layer, suggested)), suggested)
    }
    sensitivity.set(name, found)
    if (suitsHalves(tensor)) {
      const halves = floatTensor(tensor.name, tensor.dims, floats(tensor).map(nearestHalf))
      halvesErrors.set(name, (await alone.divergence(tensor, halves)) / found)
    }
    if (!unreached.has(name)) dearest = Math.max(dearest, found * coarse.error)
    context.progress?.(measured / layers.length, 'measuring sensitivity')
  }
  // The other branch, an expert that no sample was sent to: other inputs may reach it, so it counts as the dearest does.
  if (dearest > 0) for (const [name, error] of unreached) sensitivity.set(name, dearest / error)
  for (const name of unreached.keys()) halvesErrors.delete(name)
  if (unreached.size > 0)
    context.warn?.(
      `weights that change no output on the samples are taken to matter as much as those that matter most: ${[...unreached.keys()].slice(0, 5).join(', ')}${unreached.size > 5 ? ` and ${unreached.size - 5} more` : ''}`,
    )
  return { sensitivity, halvesErrors }
}

/** Whether float16 is finer than the finest grid for most weights, those far below the largest, and holds that too. */
function suitsHalves(tensor: Tensor): boolean {
  const values = floats(tensor).filter((v) => v !== 0)
  // Beyond 2^10 steps of the grid, floats of 10 bits after the first are as far apart as those or further.
  const fine = leastStep(tensor) * 2 ** 10
  const finer = values.reduce((n, v) => n + (Math.abs(v) < fine ? 1 : 0), 0)
  return finer > values.length / 2 && values.every((v) => Number.isFinite(nearestHalf(v)))
}
