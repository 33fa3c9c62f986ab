/**
 * The search for size: the price of a bit (uniform's lambda) is raised until the loss on held-back data reaches its limit.
 * Everything that does not depend on the price (second moments of inputs, sensitivities) is measured once.
 */

import { stopIfAborted } from '../errors.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { checkOptions } from '../options.ts'
import { type PreparedUniform, prepareUniform, quantizeAt, uniform } from '../quantize/uniform.ts'
import { runSteps, type Step } from '../recipe.ts'
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

/** When each part of the search begins, as shares of the time that it takes. */
const begins = { probe: 0.46, trials: 0.56, storing: 0.9 }

/** How far the search is after so many trials: nobody knows how many there will be, so that each is a share of what is left. */
function trialShare(tries: number): number {
  return begins.trials + (begins.storing - begins.trials) * (1 - 0.7 ** tries)
}

/** When a price is near enough to the highest that holds. */
interface Precision {
  /** Halvings of a bracket of one octave. */
  readonly halvings: number
  /** The share of what is allowed that must be spent, where noise is what counts. */
  readonly enough: number
}

/** Prices within 9 % of the limit's, or 5 % where noise tells; of large models, each of whose trials takes long, 19 and 10 %. */
const precision = { usual: { halvings: 3, enough: 0.975 }, large: { halvings: 2, enough: 0.95 } }
/** Models of more weights than that are large. */
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
    progress: (done, what) => progress?.(begins.probe * done, what),
  })
  const start = startPrice(prepared, task, max, context.data?.groups !== undefined)
  const weights = weightsOf(prepared)
  // The probe is what the search tries first.
  let probed: Model | undefined
  return {
    sensitivity: prepared.sensitivity,
    probe: async () => {
      const told = (done: number): void =>
        progress?.(begins.probe + 0.8 * (begins.trials - begins.probe) * done, 'quantising a first time')
      probed = (await quantizeAt(prepared, start, told)).model
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
      // The model of the last trial, which nearly always is what comes out.
      let last: { readonly price: number; readonly model: Model } | undefined
      const modelAt = async (price: number): Promise<Model> => {
        if (last?.price === price) return last.model
        const told = (done: number): void =>
          progress?.(trialShare(tries + 0.7 * done), `searching, at a price of ${price.toExponential(1)} per bit`)
        told(0)
        // One at a time: a large model's weights are most of the memory.
        last = undefined
        const made = (price === start && probed) || (await quantizeAt(prepared, price, told)).model
        told(1)
        probed = undefined
        last = { price, model: made }
        return made
      }
      const judge = async (price: number): Promise<Verdict> => {
        stopIfAborted(signal, 'compress')
        const quantized = await modelAt(price)
        const verdict = await verdictOf(quantized)
        tries++
        return verdict
      }
      const best = await highestPrice(judge, start, weights > largeModel ? precision.large : precision.usual)
      if (best === undefined)
        return unquantized('even the finest steps tried lose more than is allowed, so weights keep their precision')
      const { price: lambda, verdict: held } = best
      const quantized = await modelAt(lambda)
      progress?.(begins.storing, 'storing weights as integers')
      const rest: readonly Step[] = [['compact', {}]]
      return {
        model: await runSteps(quantized, rest),
        steps: [['uniform', { lambda }], ...rest],
        // Prices that hold only rise, and compacting changes no weight.
        verdict: held,
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

/** A price that was tried, and how it stood. */
interface Tried {
  readonly price: number
  readonly verdict: Verdict
}

/**
 * The highest price that holds (undefined: none tried): octaves up or down from a start, then bisection. Where noise is what
 * counts, which grows smoothly with the price, the next price is where two trials say that the limit is reached.
 */
export async function highestPrice(
  judge: (price: number) => Promise<Verdict>,
  start: number,
  { halvings, enough }: Precision,
): Promise<Tried | undefined> {
  let good: Tried | undefined
  let bad: Tried | undefined
  let before: Tried | undefined
  let last: Tried = { price: start, verdict: await judge(start) }
  for (let inside = 0; ; ) {
    if (last.verdict.spent <= 1) good = last
    else bad = last
    const gap = good && bad ? Math.log2(bad.price / good.price) : undefined
    const near = gap !== undefined && (gap < 1.2 * 0.5 ** halvings || inside > halvings)
    if (good && (near || (isNoise(good) && good.verdict.spent >= enough))) return good
    if (gap === undefined && Math.abs(Math.log2(last.price / start)) > mostOctaves - 0.1) return good
    const guess = guessFrom(last, gap === undefined ? before : last === good ? bad : good, (1 + enough) / 2)
    let octaves: number
    if (gap === undefined) octaves = guess ?? (good ? 1 : -1)
    else {
      inside++
      // Prices are rounded to few digits; halves are those of the octave.
      const fromGood =
        guess === undefined
          ? 2 ** Math.round(Math.log2(gap)) / 2
          : guess + Math.log2(last.price / (good as Tried).price)
      octaves = Math.min(0.9 * gap, Math.max(0.1 * gap, fromGood)) + Math.log2((good as Tried).price / last.price)
    }
    before = last
    const price = short(last.price * 2 ** octaves)
    last = { price, verdict: await judge(price) }
  }
}

function isNoise({ verdict: { worst, spent } }: Tried): boolean {
  return worst?.unit === 'dB of noise' && spent > 0 && Number.isFinite(spent)
}

/** Noise in amplitude grows as the root of the price where all weights trade as theory says. */
const usualGrowth = 0.5
/** The most octaves that a guess from the trials may go beyond them. */
const furthest = 4

/** Octaves from a trial to where a share of what is allowed is spent, as it and another tell; undefined where it is not noise that counts. */
function guessFrom(last: Tried, other: Tried | undefined, share: number): number | undefined {
  if (!isNoise(last)) return undefined
  let growth = usualGrowth
  if (other && isNoise(other) && other.price !== last.price) {
    const measured = Math.log2(last.verdict.spent / other.verdict.spent) / Math.log2(last.price / other.price)
    growth = Math.min(1, Math.max(0.2, measured))
  }
  const octaves = Math.log2(share / last.verdict.spent) / growth
  return Math.min(furthest, Math.max(-furthest, octaves))
}

/** Few digits, so that the recipe's text says exactly what was run. */
function short(x: number): number {
  return Number(x.toPrecision(3))
}
