/**
 * The search for size: the price of a bit (uniform's lambda) is raised until the loss on held-back data reaches its limit.
 * Everything that does not depend on the price (second moments of inputs, sensitivities) is measured once.
 */

import { AbortError } from '../errors.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { checkOptions } from '../options.ts'
import { compact } from '../quantize/compact.ts'
import { type PreparedUniform, prepareUniform, quantizeAt, uniform } from '../quantize/uniform.ts'
import type { Step } from '../recipe.ts'
import type { MaxLoss } from '../task/max-loss.ts'
import { isDecision, type Task } from '../task/task.ts'
import type { Verdict } from '../task/verdict.ts'
import { sizeOf } from '../tensor/dtype.ts'

export interface Found {
  readonly model: Model
  readonly steps: readonly Step[]
  /** How it stands on what the search judged on. */
  readonly verdict: Verdict
  /** Why a node's weight stayed as it was, by the node's name; and why any other did. */
  readonly kept: ReadonlyMap<string, string>
  readonly otherwise: string
  readonly notes: readonly string[]
}

/** A search that can be made again with a tighter limit: what does not depend on the limit is measured once. */
export interface Search {
  /** Divergence of the output for a squared error of the layer's output, by weight name. */
  readonly sensitivity: ReadonlyMap<string, number>
  find(verdictOf: (model: Model) => Promise<Verdict>): Promise<Found>
}

/** Halvings of the price's bracket, in octaves, after it is found: within 9 % of the limit's price. */
const bisections = 3
/** Models of more weights than that get one less, within 19 %: a trial takes long, and little is lost. */
const largeModel = 1e7
const mostOctaves = 16

export interface SmallSearch extends Search {
  /** A model with about the noise that is allowed, to see how sure a judgement of it is. */
  probe(): Promise<Model>
}

/** `model` is tidied (tidy.ts): its BatchNormalization folded. */
export async function openSmall(
  model: Model,
  { max, task, ...context }: Context & { readonly max: MaxLoss; readonly task: Task },
): Promise<SmallSearch> {
  const { progress, signal } = context
  const settings = checkOptions(uniform.id, uniform.options)
  const prepared = await prepareUniform(model, settings, {
    ...context,
    task,
    progress: (done, what) => progress?.(0.6 * done, what),
  })
  const start = startPrice(prepared, task, max, context.calibrationGroups !== undefined)
  const weights = weightsOf(prepared)
  // The probe is what the search tries first.
  let probed: Model | undefined
  return {
    sensitivity: prepared.sensitivity,
    probe: async () => {
      probed = (await quantizeAt(prepared, start)).model
      return probed
    },
    async find(verdictOf) {
      const kept = new Map<string, string>()
      const unquantized = async (why: string): Promise<Found> => ({
        model,
        steps: [],
        verdict: await verdictOf(model),
        kept,
        otherwise: why,
        notes: [why],
      })
      if (prepared.layers.length === 0)
        return unquantized(`no weight of ${settings.minElements} or more finite float elements was found to quantise`)
      let tries = 0
      let held: Verdict | undefined
      const holds = async (lambda: number): Promise<boolean> => {
        if (signal?.aborted) throw new AbortError('compress: stopped')
        const quantized = (lambda === start && probed) || (await quantizeAt(prepared, lambda)).model
        probed = undefined
        progress?.(Math.min(0.99, 0.6 + 0.06 * tries++), `searching, at a price of ${lambda.toExponential(1)} per bit`)
        const verdict = await verdictOf(quantized)
        if (verdict.spent <= 1) held = verdict
        return verdict.spent <= 1
      }
      const lambda = await highestPrice(holds, start, weights > largeModel ? bisections - 1 : bisections)
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
        // Prices that hold only rise, and compacting changes no weight.
        verdict: held as Verdict,
        kept,
        otherwise: 'it is on its grid already',
        notes: [],
      }
    },
  }
}

/** Bits of a weight trade against divergence at 2 ln 2 of it, and steps are 1.6 times those of theory, squared. */
const pricePerDivergence = (2 * Math.LN2) / 2.56

/**
 * The price to begin with: for decisions a usual one; for values the one that gives about the noise that is allowed, were
 * all weights to trade as theory says.
 */
function startPrice(prepared: PreparedUniform, task: Task, max: MaxLoss, random: boolean): number {
  const decides = !random && max.points < Number.POSITIVE_INFINITY && task.outputs.some(isDecision)
  if (decides) return uniform.options.lambda.default
  const price = (10 ** (-max.snrDb / 10) * pricePerDivergence) / Math.max(1, weightsOf(prepared))
  return short(Math.min(1e-2, Math.max(1e-16, price)))
}

function weightsOf({ layers }: PreparedUniform): number {
  return layers.reduce((sum, { weight }) => sum + sizeOf(weight.tensor.dims), 0)
}

/** The highest price that holds (undefined: none tried): octaves up or down from a start, then bisection. */
async function highestPrice(
  holds: (lambda: number) => Promise<boolean>,
  start: number,
  halvings: number,
): Promise<number | undefined> {
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
  for (let i = 1; i <= halvings; i++) {
    const middle = short(good * 2 ** (0.5 ** i))
    if (await holds(middle)) good = middle
  }
  return good
}

/** Few digits, so that the recipe's text says exactly what was run. */
function short(x: number): number {
  return Number(x.toPrecision(3))
}
