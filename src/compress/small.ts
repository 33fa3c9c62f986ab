/**
 * The search for size: the price of a bit (uniform's lambda) is raised until the loss on held-back data reaches its limit.
 * Everything that does not depend on the price (second moments of inputs, sensitivities) is measured once.
 */

import { AbortError } from '../errors.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { checkOptions } from '../options.ts'
import { compact } from '../quantize/compact.ts'
import { prepareUniform, quantizeAt, uniform } from '../quantize/uniform.ts'
import type { Step } from '../recipe.ts'
import type { Scorer } from './score.ts'

export interface SmallResult {
  readonly model: Model
  readonly steps: readonly Step[]
  /** Loss on held-back data, in the scorer's unit. */
  readonly loss: number
  /** Divergence of the output for a squared error of the layer's output, by weight name. */
  readonly sensitivity: ReadonlyMap<string, number>
  /** Why a node's weight stayed as it was, by the node's name; and why any other did. */
  readonly kept: ReadonlyMap<string, string>
  readonly otherwise: string
  readonly notes: readonly string[]
}

/** Halvings of the price's bracket, in octaves, after it is found: within 9 % of the limit's price. */
const bisections = 3
const mostOctaves = 16

/** `model` is tidied (tidy.ts): its BatchNormalization folded. */
export async function makeSmall(
  model: Model,
  scorer: Scorer,
  options: Context & { readonly maxLoss: number },
): Promise<SmallResult> {
  const { maxLoss, progress, signal } = options
  const limit = scorer.limitOf(maxLoss)
  const settings = checkOptions(uniform.id, uniform.options)
  const prepared = await prepareUniform(model, settings, {
    ...options,
    progress: (done, what) => progress?.(0.6 * done, what),
  })
  const kept = new Map<string, string>()
  const unquantized = async (why: string): Promise<SmallResult> => {
    const loss = await scorer.lossOf(model)
    return { model, steps: [], loss, sensitivity: new Map(), kept, otherwise: why, notes: [why] }
  }
  if (prepared.layers.length === 0)
    return unquantized(`no weight of ${settings.minSize} or more finite float elements was found to quantise`)
  let tries = 0
  const lossAt = async (lambda: number): Promise<number> => {
    if (signal?.aborted) throw new AbortError('compress: stopped')
    const { model: quantized } = await quantizeAt(prepared, lambda)
    progress?.(Math.min(0.99, 0.6 + 0.06 * tries++), `price ${lambda.toExponential(1)} a bit`)
    return scorer.lossOf(quantized)
  }
  const lambda = await highestPrice(lossAt, limit, options.calibration ? settings.lambda : 1e-5)
  if (lambda === undefined)
    return unquantized('even the finest steps tried lose more than is allowed, so weights keep their precision')
  const { model: quantized } = await quantizeAt(prepared, lambda)
  const compacted = await compact(quantized)
  return {
    model: compacted,
    steps: [
      ['uniform', { lambda }],
      ['compact', {}],
    ],
    loss: await scorer.lossOf(compacted),
    sensitivity: prepared.sensitivity,
    kept,
    otherwise: 'it is on its grid already',
    notes: [],
  }
}

/** The highest price whose loss is within the limit (undefined: none tried): octaves up or down from a start, then bisection. */
async function highestPrice(
  lossAt: (lambda: number) => Promise<number>,
  limit: number,
  start: number,
): Promise<number | undefined> {
  const holds = async (lambda: number): Promise<boolean> => (await lossAt(lambda)) <= limit
  let good = start
  let octaves = 0
  if (await holds(start)) {
    while (octaves++ < mostOctaves && (await holds(short(good * 2)))) good = short(good * 2)
  } else {
    do {
      good = short(good / 2)
      if (++octaves > mostOctaves) return undefined
    } while (!(await holds(good)))
  }
  for (let i = 1; i <= bisections; i++) {
    const middle = short(good * 2 ** (0.5 ** i))
    if (await holds(middle)) good = middle
  }
  return good
}

/** Few digits, so that the recipe's text says exactly what was run. */
function short(x: number): number {
  return Number(x.toPrecision(3))
}
