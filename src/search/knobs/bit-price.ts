/**
 * For size: the price of a bit (uniform's lambda), which sets the steps of all weights. It is raised until what may be lost is
 * spent. All that does not depend on it (second moments of inputs, sensitivities) is measured once.
 */
import { stopIfAborted } from '../../errors.ts'
import type { Model } from '../../model.ts'
import { checkOptions } from '../../options.ts'
import { type PreparedUniform, prepareUniform, quantizeAt, uniform } from '../../quantize/uniform.ts'
import { runSteps, type Step } from '../../recipe.ts'
import type { MaxLoss } from '../../task/max-loss.ts'
import { isDecision, type Task } from '../../task/task.ts'
import { sizeOf } from '../../tensor/dtype.ts'
import type { Found, Knob, Search, SearchContext } from '../knob.ts'
import { highestThatHolds, short } from '../strategies.ts'

/** When each part of the search begins, as shares of the time that it takes. */
const begins = { first: 0.46, trials: 0.56, storing: 0.9 }

/** How far the search is after so many trials: nobody knows how many there will be, so that each is a share of what is left. */
function trialShare(tries: number): number {
  return begins.trials + (begins.storing - begins.trials) * (1 - 0.7 ** tries)
}

/** Prices within 9 % of the limit's, or 5 % where noise tells; of large models, each of whose trials takes long, 19 and 10 %. */
const precision = { usual: { halvings: 3, enough: 0.975 }, large: { halvings: 2, enough: 0.95 } }
/** Models of more weights than that are large. */
const largeModel = 1e7

/** `model` is tidied: its BatchNormalization folded. */
export async function openBitPrice(model: Model, { max, task, ...context }: SearchContext): Promise<Search> {
  const { progress, signal } = context
  const settings = checkOptions(uniform.id, uniform.options)
  const prepared = await prepareUniform(model, settings, {
    ...context,
    task,
    progress: (done, what) => progress?.(begins.first * done, what),
  })
  const weights = weightsOf(prepared)
  // Undefined until `find` begins.
  let tries: number | undefined
  const told = (done: number, price: number): void =>
    tries === undefined
      ? progress?.(begins.first + 0.8 * (begins.trials - begins.first) * done, 'quantising a first time')
      : progress?.(trialShare(tries + 0.7 * done), `searching, at a price of ${price.toExponential(1)} per bit`)
  // The model of the last trial, which nearly always is what comes out; one at a time, since a large model's weights are most of the memory.
  let last: { readonly price: number; readonly model: Model } | undefined
  const knob: Knob<number> = {
    id: uniform.id,
    start: startPrice(prepared, task, max, context.data.groups !== undefined),
    async at(price) {
      if (last?.price !== price) {
        last = undefined
        last = { price, model: (await quantizeAt(prepared, price, (done) => told(done, price))).model }
      }
      return { model: last.model, steps: [[uniform.id, { lambda: price }]] }
    },
  }
  return {
    id: knob.id,
    sensitivity: prepared.sensitivity,
    first: async () => (await knob.at(knob.start)).model,
    async find(verdictOf) {
      const unquantised = async (why: string): Promise<Found> => ({
        model,
        steps: [],
        verdict: await verdictOf(model),
        kept: new Map(),
        otherwise: why,
        notes: [why],
      })
      if (prepared.layers.length === 0)
        return unquantised(`no weight of ${settings.minElements} or more finite float elements was found to quantise`)
      tries = 0
      const best = await highestThatHolds(
        async (price) => {
          stopIfAborted(signal, 'compress')
          told(0, price)
          const { model: quantised } = await knob.at(price)
          told(1, price)
          const verdict = await verdictOf(quantised)
          tries = (tries ?? 0) + 1
          return verdict
        },
        knob.start,
        weights > largeModel ? precision.large : precision.usual,
      )
      if (best === undefined)
        return unquantised('even the finest steps tried lose more than is allowed, so weights keep their precision')
      const quantised = await knob.at(best.value)
      progress?.(begins.storing, 'storing weights as integers')
      const rest: readonly Step[] = [['compact', {}]]
      return {
        model: await runSteps(quantised.model, rest),
        steps: [...quantised.steps, ...rest],
        // Prices that hold only rise, and compacting changes no weight.
        verdict: best.verdict,
        kept: new Map(),
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
