/**
 * Which units go for a measured latency: the share of channels is halved until the network with them removed takes the time
 * that is asked for, beside the one before it in ONNX Runtime on this machine. A smaller network is not always a faster one,
 * as kernels work on several channels at once, so what counts is what was measured.
 */
import { latencyOf, oneCall } from '../evaluate/compare.ts'
import type { Context, Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import type { Units } from './_unit-budget.ts'

export interface Candidate {
  readonly units: Units
  readonly model: Model
}

/** Time of the second model as a share of the first's. */
export type TimeShare = (before: Model, after: Model) => Promise<number>

/** Steps of halving: times of a percent apart can hardly be told. */
const halvings = 7
/** So near to the time that is asked for, looking further would only follow noise. */
const near = 0.02
/** Per pair of models; it ends earlier where the answer is clear. */
const maxMs = 3000

/** Measures in turn, which a busy machine befalls alike. */
export async function timeShare(model: Model, { data, seed = 0, signal }: Context): Promise<TimeShare> {
  const [batch] = data?.calibration({ samples: 1, batchSize: 1 }) ?? []
  const feeds: Feeds = batch ?? (await oneCall(model, { seed }))
  return async (before, after) => {
    const [, { speedUp }] = await latencyOf([before, after], feeds, { maxMs, signal })
    return 1 / speedUp.median
  }
}

interface Search {
  /** The share of the latency that goes. */
  readonly sparsity: number
  readonly at: (share: number) => Candidate
  readonly timeShare: TimeShare
  readonly progress?: Context['progress']
}

/** The fewest channels whose removal takes that share of the latency off. Throws where not even all that may go do. */
export async function withinLatency(
  before: Model,
  { sparsity, at, timeShare, progress }: Search,
): Promise<{ readonly share: number; readonly left: number; readonly units: Units }> {
  const measured = new Map<string, number>()
  const measure = async (share: number) => {
    const { units, model } = at(share)
    // Shares next to each other may remove the same, by rounding.
    const key = JSON.stringify([...units].map(([name, own]) => [name, [...own]]))
    const left = measured.get(key) ?? (await timeShare(before, model))
    measured.set(key, left)
    return { share, left, units }
  }
  const most = 1 - sparsity
  let best = await measure(1)
  if (best.left > most) {
    const reached = Math.max(0, Math.floor(100 * (1 - best.left)))
    throw new Error(
      `channels: ${reached} % of the latency at most can be removed on this machine; expected a sparsity of at most ${reached / 100}`,
    )
  }
  let [few, many] = [0, 1]
  for (let step = 0; step < halvings && best.left < most - near; step++) {
    const found = await measure((few + many) / 2)
    if (found.left > most) few = found.share
    else {
      many = found.share
      best = found
    }
    progress?.((step + 1) / halvings, 'measuring latency')
  }
  return best
}
