/**
 * For size, where there is time to train: the price of a kilobyte while the model trains (train-small). Each round trains on from
 * the last one that held, at twice its price; where a round loses too much, the next price lies between the two. A round ends
 * with a small learning rate, so that every one of them is a result. With a checkpoint, a search that was stopped goes on where it was.
 */
import { stopIfAborted } from '../../errors.ts'
import { packedSizeOn } from '../../formats/pack.ts'
import { weightTensors } from '../../graph/weights.ts'
import type { Model } from '../../model.ts'
import { modelFingerprint } from '../../onnx/fingerprint.ts'
import { runSteps, type Step } from '../../recipe.ts'
import type { Verdict } from '../../task/verdict.ts'
import { sizeOf } from '../../tensor/dtype.ts'
import { KeptRounds } from '../kept-rounds.ts'
import type { Found, OpenSearch } from '../knob.ts'
import { short } from '../strategies.ts'

export interface TrainedSizeOptions {
  /** For all rounds, in milliseconds; one epoch of training is run whatever it takes. */
  readonly budget: number
  /** Augmentation of images: pixels that they are padded by and cropped from at random, and whether they are mirrored at random. */
  readonly crop?: number
  readonly flip?: boolean
  /** Samples and answers are mixed in pairs, the share of each from Beta(a, a) with this a. */
  readonly mixup?: number
}

/** Of the budget, for each round. */
const shares = [1 / 2, 1 / 4, 1 / 8, 1 / 8]
/** The loss that a kilobyte is worth at first is that over the number of weights: what nearly every network bears. */
const firstPrice = 800
const rate = 0.001
const mostPerBatch = 64

/** How a round trains, of what differs between rounds. */
interface RoundOptions {
  readonly price: number
  readonly epochs: number
  readonly schedule?: string
}

/** What a round made. */
interface Round {
  readonly model: Model
  /** From the model that the search was opened on. */
  readonly steps: readonly Step[]
}

/** `model` is tidied: its BatchNormalization folded. Throws where the data has no training set with answers. */
export function openTrainedSize({ budget, crop, flip, mixup }: TrainedSizeOptions): OpenSearch {
  const augmentation = { ...(crop ? { crop } : {}), ...(flip ? { flip } : {}), ...(mixup ? { mixup } : {}) }
  return async (model, { signal, progress, checkpoint, ...context }) => {
    const { train } = context.data
    if (!train) throw new Error('compress: --train needs a training set with labels or targets; expected --data SPEC')
    const weights = weightTensors(model).reduce((n, { tensor }) => n + sizeOf(tensor.dims), 0)
    // Models are fingerprinted for a checkpoint alone: that reads all of their bytes.
    const data = [train.id, train.length]
    const ran = checkpoint && [
      budget,
      augmentation,
      context.seed,
      data,
      modelFingerprint(model),
      context.teacher ? modelFingerprint(context.teacher) : 0,
    ]
    const kept = await KeptRounds.open<RoundOptions>(checkpoint, JSON.stringify(ran ?? ''))
    const start = performance.now() - kept.ms
    const made: { readonly round: Round; verdict: Verdict }[] = []

    const trainOn = async (from: Round, wanted: RoundOptions): Promise<Round & { readonly ms: number }> => {
      const batch = Math.min(mostPerBatch, train.length)
      const stepsOf = ({ price, ...more }: RoundOptions): Step[] => [
        ['train-small', { batch, rate, price, rise: 0.3, keep: 'none', ...more, ...augmentation }],
        ['remove-dead', {}],
      ]
      const told = (_done: number, what: string): void =>
        progress?.(Math.min(1, (performance.now() - start) / budget), `training: ${what}`)
      const round = await kept.next({ ...wanted, price: short(wanted.price) }, (options, checkpoint) =>
        runSteps(from.model, stepsOf(options), {
          ...{ ...context, signal, progress: told },
          ...(checkpoint ? { checkpoint } : {}),
        }),
      )
      return { model: round.model, steps: [...from.steps, ...stepsOf(round.options)], ms: round.ms }
    }

    /** All rounds that the budget is for. */
    const search = async (verdictOf: (model: Model) => Promise<Verdict>): Promise<void> => {
      const original: Round = { model, steps: [] }
      let [good, bad] = [0, Number.POSITIVE_INFINITY]
      let price = firstPrice / Math.max(1, weights)
      // How long an epoch takes is told by one, which is part of the first round.
      const first = await trainOn(original, { price, epochs: 1, schedule: 'constant' })
      const msPerEpoch = first.ms
      let from: Round = first
      for (const share of shares) {
        stopIfAborted(signal, 'compress')
        const epochs = Math.floor(((budget - msPerEpoch) * share) / msPerEpoch)
        if (epochs < 1 && made.length > 0) break
        const round = await trainOn(from, { price, epochs: Math.max(1, epochs) })
        const verdict = await verdictOf(round.model)
        made.push({ round, verdict })
        if (verdict.spent <= 1) {
          good = price
          from = round
        } else {
          bad = price
          // What was pressed too hard has lost weights that do not come back.
          if (good === 0) from = original
        }
        price = bad === Number.POSITIVE_INFINITY ? 2 * good : good === 0 ? bad / 4 : Math.sqrt(good * bad)
      }
    }

    return {
      id: 'train-small',
      first: async () => model,
      async find(verdictOf): Promise<Found> {
        // What was trained is not trained again for a tighter limit: it is judged by it.
        if (made.length === 0) await search(verdictOf)
        else for (const one of made) one.verdict = await verdictOf(one.round.model)
        const holding = made.filter((m) => m.verdict.spent <= 1)
        const sized = await Promise.all(
          holding.map(async (m) => ({ ...m, bytes: await packedSizeOn(m.round.model, { mode: 'fast' }) })),
        )
        const best = sized.sort((a, b) => a.bytes - b.bytes)[0]
        if (!best) {
          const why = 'training for size lost more than is allowed at every price that was tried'
          return { model, steps: [], verdict: await verdictOf(model), kept: new Map(), otherwise: why, notes: [why] }
        }
        const rest: Step[] = [['compact', {}]]
        return {
          model: await runSteps(best.round.model, rest),
          steps: [...best.round.steps, ...rest],
          verdict: best.verdict,
          kept: new Map(),
          otherwise: 'it is too small to be worth a grid',
          notes: [`trained for size: ${made.length} rounds, of which ${holding.length} kept the limit`],
        }
      },
    }
  }
}
