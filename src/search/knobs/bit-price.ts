/**
 * For size: the price of a bit (uniform's lambda), which sets the steps of all weights. It is raised until what may be lost is
 * spent. All that does not depend on it (second moments of inputs, sensitivities) is measured once.
 */
import { stopIfAborted } from '../../errors.ts'
import { nodeName, storedBytes } from '../../graph/walk.ts'
import { type WeightTensor, weightTensors } from '../../graph/weights.ts'
import type { Model } from '../../model.ts'
import { checkOptions } from '../../options.ts'
import { Outlook } from '../../progress.ts'
import { type PreparedUniform, prepareUniform, quantizeAt, uniform } from '../../quantize/uniform.ts'
import { runSteps, type Step } from '../../recipe.ts'
import { whyRandomStays } from '../../simplify/remarks.ts'
import { judgedPart, unjudgedNodes, whyUnjudged } from '../../task/judged-model.ts'
import type { MaxLoss } from '../../task/max-loss.ts'
import { isDecision, type Task } from '../../task/task.ts'
import { sizeOf } from '../../tensor/dtype.ts'
import { usualTrials } from '../costs.ts'
import type { Found, Knob, Search, SearchContext, Turned } from '../knob.ts'
import { ruledWeights } from '../ruled-weights.ts'
import { highestThatHolds, short } from '../strategies.ts'

/** Prices within 9 % of the limit's, or 5 % where noise tells; of large models, each of whose trials takes long, 19 and 10 %. */
const precision = { usual: { halvings: 3, enough: 0.975 }, large: { halvings: 2, enough: 0.95 } }
/** Models of more weights than that are large. */
const largeModel = 1e7
/** Where nobody guesses what parts cost. */
const usualCosts = { preparing: 5, opening: 2, quantising: 1, judging: 1 }

/** `model` is tidied: its BatchNormalization folded. */
export async function openBitPrice(
  model: Model,
  { max, task, costs = usualCosts, ...context }: SearchContext,
): Promise<Search> {
  const { signal } = context
  const decides = countsDecisions(task, max, context.data.groups !== undefined)
  const usual = decides ? usualTrials.decisions : usualTrials.noise
  const trials = (left: number) =>
    Array.from({ length: left }, () => [
      { kind: 'quantising', cost: costs.quantising },
      { kind: 'judging', cost: costs.judging },
    ]).flat()
  const ahead = (['preparing', 'quantising', 'opening'] as const).map((kind) => ({ kind, cost: costs[kind] }))
  const outlook = new Outlook<string>([...ahead, ...trials(usual)], context.progress)
  const unjudged = unjudgedNodes(model, task)
  const all = weightTensors(model)
  const isUnjudged = (w: WeightTensor): boolean => w.uses.every((u) => unjudged.has(u.node))
  const ruled = ruledWeights(all.filter((w) => !isUnjudged(w)))
  const exclude = all.filter((w) => ruled.has(w.name) || isUnjudged(w)).map(({ name }) => name)
  const kept = new Map([...unjudged].map((node) => [nodeName(node), whyUnjudged]))
  for (const { name, uses } of all) {
    const bits = ruled.get(name)
    if (bits !== undefined) for (const { node } of uses) kept.set(nodeName(node), whyRuled(bits))
  }
  const settings = checkOptions(uniform.id, uniform.options, { exclude })
  const prepared = await prepareUniform(model, settings, { ...context, task, progress: outlook.begin('preparing') })
  const weights = weightsOf(prepared)
  // The model of the last trial, which nearly always is what comes out; one at a time, since a large model's weights are most of the memory.
  let last: { readonly price: number; readonly model: Model; readonly asTheyWere: readonly string[] } | undefined
  const knob: Knob<number> = {
    id: uniform.id,
    start: startPrice(prepared, max, decides),
    async at(price) {
      if (last?.price !== price) {
        last = undefined
        const told = outlook.begin('quantising', `searching, at a price of ${price.toExponential(1)} per bit`)
        const { model: quantised, kept: asTheyWere } = await quantizeAt(prepared, price, told)
        last = { price, model: quantised, asTheyWere }
      }
      return { model: last.model, steps: [[uniform.id, { lambda: price, ...(exclude.length > 0 ? { exclude } : {}) }]] }
    },
  }
  return {
    id: knob.id,
    sensitivity: prepared.sensitivity,
    async first() {
      const { model: quantised } = await knob.at(knob.start)
      outlook.begin('opening')
      return quantised
    },
    async find(verdictOf) {
      const unquantised = async (why: string): Promise<Found> => ({
        model,
        steps: [],
        verdict: await verdictOf(model),
        kept,
        otherwise: why,
        notes: [why],
      })
      if (prepared.layers.length === 0) {
        const none = `no weight of ${settings.minElements} or more finite float elements was found to quantise`
        const left = await unquantised(ruled.size > 0 ? `${none}, but for those that take less as they are` : none)
        return ruled.size > 0 ? { ...left, ...(await compacted(left)) } : left
      }
      let tries = 0
      const best = await highestThatHolds(
        async (price) => {
          stopIfAborted(signal, 'compress')
          const left = Math.max(2, usual - tries++)
          outlook.expect(trials(left))
          const { model: quantised } = await knob.at(price)
          outlook.expect(trials(left - 1))
          return verdictOf(quantised, outlook.begin('judging'))
        },
        knob.start,
        weights > largeModel ? precision.large : precision.usual,
      )
      const quantised = best && (await knob.at(best.value))
      const asTheyWere = new Set(last?.asTheyWere)
      if (!best || !quantised || asTheyWere.size === prepared.layers.length)
        return unquantised(
          whyRandomStays(judgedPart(model, task)) ??
            'even the finest steps tried lose more than is allowed, so weights keep their precision',
        )
      outlook.expect([])
      // Packing needs the memory.
      last = undefined
      return {
        ...(await compacted(quantised)),
        // Prices that hold only rise, and compacting changes no weight.
        verdict: best.verdict,
        kept: new Map([...kept, ...whereAsTheyWere(all.filter(({ name }) => asTheyWere.has(name)))]),
        otherwise: 'it is on its grid already',
        notes: [],
      }
    },
  }
}

/** Weights on a grid or of few values as integers, where that is smaller: weights of 16 bits whose levels take 16, too, stay as they are. */
async function compacted({ model, steps }: Turned): Promise<Turned> {
  const rest: readonly Step[] = [['compact', {}]]
  const smaller = await runSteps(model, rest)
  return storedBytes(smaller) < storedBytes(model) ? { model: smaller, steps: [...steps, ...rest] } : { model, steps }
}

function whereAsTheyWere(weights: readonly WeightTensor[]): [node: string, why: string][] {
  const why = 'its finest steps and float16 would lose more than the bits that they save are worth'
  return weights.flatMap(({ uses }) => uses.map(({ node }): [string, string] => [nodeName(node), why]))
}

function whyRuled(bits: number): string {
  return `its values follow a rule or repeat: as they are they pack into ${bits < 0.01 ? 'less than 0.01' : bits.toFixed(2)} bits per weight`
}

/** Whether trials count decisions; else noise is what counts. */
function countsDecisions(task: Task, max: MaxLoss, random: boolean): boolean {
  return !random && max.points < Number.POSITIVE_INFINITY && task.outputs.some(isDecision)
}

/** Bits of a weight trade against divergence at 2 ln 2 of it, and steps are 1.6 times those of theory, squared. */
const pricePerDivergence = (2 * Math.LN2) / 2.56

/**
 * The price to begin with: for decisions a usual one; for values the one that gives about the noise that is allowed, were
 * all weights to trade as theory says.
 */
function startPrice(prepared: PreparedUniform, max: MaxLoss, decides: boolean): number {
  if (decides) return uniform.options.lambda.default
  const price = (10 ** (-max.snrDb / 10) * pricePerDivergence) / Math.max(1, weightsOf(prepared))
  return short(Math.min(1e-2, Math.max(1e-16, price)))
}

function weightsOf({ layers }: PreparedUniform): number {
  return layers.reduce((sum, { weight }) => sum + sizeOf(weight.tensor.dims), 0)
}
