/** Guesses of how long the parts of compressing take, in milliseconds on two cores: for progress alone, which learns while they run. */
import { layersOf } from '../calibrate/layers.ts'
import { batchOf, requiredInputs } from '../data/batch-axis.ts'
import type { BoundData } from '../data/handle.ts'
import { candidateShapes, shortShapes } from '../evaluate/candidate-shapes.ts'
import { withInputShapes } from '../graph/input-shapes.ts'
import { inspectModel } from '../inspect/inspect.ts'
import type { Model } from '../model.ts'
import type { Goal } from './goals.ts'
import { holdBackCounts } from './held-back.ts'

/** Of a search by trials. */
export interface SearchCosts {
  /** What is measured before the first trial. */
  readonly preparing: number
  /** Where there is no data: how many random inputs tell enough, which a first model shows. */
  readonly opening: number
  /** Of one trial: making the model, and judging it. */
  readonly quantising: number
  readonly judging: number
}

export interface CompressCosts extends SearchCosts {
  readonly tidying: number
  /** The original, on what is held back and tested on. */
  readonly running: number
  /** All of a search. */
  readonly searching: number
  readonly packing: number
  readonly unpacking: number
  /** Judging what came out of the packed file. */
  readonly proving: number
}

/** Multiply-adds per millisecond, and what a call costs besides: of itself, and for each node. */
const macsPerMs = 4e7
const msPerCall = { itself: 0.15, node: 1e-3 }
/** Opening a session, for each node. */
const msToOpen = 0.03
/** What the first tensors take longer, for which code is compiled: of small models that is most of the time. */
const msToWarmUp = { packing: 1250, unpacking: 1000 }
/** Samples per call, about, of models that take any number. */
const perCall = 100
/** Shapes of inputs that are looked at: telling progress must not take long. */
const mostTried = 16
/** Ranges that random inputs are drawn in, mostly. */
const ranges = 3

/** For speed, kinds of layers are timed in float and on integers: how often, about, and how long each takes. */
const comparisonsOfSpeed = { count: 5, ms: 3_000 }

/** `training`: how long it may take, in milliseconds. */
export function compressCosts(
  model: Model,
  { data, goal, training = 0 }: { data?: BoundData; goal: Goal; training?: number },
): CompressCosts {
  const { weights, macs, isOfTwoLengths } = data ? costOf(model) : costOnRandomInputs(model)
  const { nodes } = model.graph
  const measured = layersOf(model).length
  const size = data ? (data.batcher.batchSize ?? perCall) : 8
  const run = (samples: number): number =>
    samples * (macs / macsPerMs + (msPerCall.itself + msPerCall.node * nodes.length) / size)
  const within = (macsInAll: number, least: number, most: number): number =>
    ranges * Math.min(most, Math.max(least, macsInAll / (ranges * macs)))
  const { calibrated, validated } = data
    ? holdBackCounts(data.splits.train.length)
    : { calibrated: within(5e10, 8, 32), validated: within(5e10, 4, 64) }
  const alone = Math.min(calibrated, 256, data ? 256 : 2e12 / (Math.max(1, measured) * macs))
  const tested = data ? data.splits.test.length : validated
  // Each layer is changed alone, coarsely and finely, and what is behind it runs: half of the model, in the mean. So do sessions.
  const changing = run(alone * measured) * (isOfTwoLengths ? 0.5 : 1) + msToOpen * nodes.length * measured
  const preparing = run(calibrated) + 5e-4 * weights + changing
  const quantising = 3e-4 * weights
  const judging = 5e-5 * weights + run(validated)
  // The original and a first model, on ever more samples; and the original on those of the last judgement.
  const opening = data ? 0 : 4 * run(validated)
  const trials = (data ? usualTrials.decisions : usualTrials.noise) * (quantising + judging)
  return {
    tidying: 50 + 3e-4 * weights,
    running: 50 + (data ? run(2 * validated + tested) : run(within(5e9, 2, 16))),
    searching:
      preparing +
      opening +
      trials +
      (goal === 'speed' ? comparisonsOfSpeed.count * comparisonsOfSpeed.ms : 0) +
      training,
    preparing,
    opening,
    quantising,
    judging,
    packing: msToWarmUp.packing + 10 * measured + 1.1e-3 * weights,
    unpacking: msToWarmUp.unpacking + 2.5e-4 * weights,
    proving: 1e-4 * weights + run(data ? tested : 2 * tested),
  }
}

interface ModelCost {
  readonly weights: number
  /** Of a sample. */
  readonly macs: number
  /** Half of the random inputs that are calibrated on are short, and take next to no time. */
  readonly isOfTwoLengths?: boolean
}

function costOf(model: Model): ModelCost {
  const { params, macs } = inspectModel(model).totals
  return { weights: params, macs: Math.max(macs ?? 0, params) }
}

/** Sizes that are left open are mostly those that are tried first, of those that fit the graph: its multiply-adds are known then. */
function costOnRandomInputs(model: Model): ModelCost {
  const inputs = requiredInputs(model)
  const batch = batchOf(inputs, model.graph.outputs)
  let first: ModelCost | undefined
  let tried = 0
  for (const shapes of candidateShapes(inputs, batch, 1)) {
    const sized = withInputShapes(model, new Map(inputs.map(({ name }, i) => [name, shapes[i]])))
    const { macs } = inspectModel(sized).totals
    const cost = { ...costOf(sized), isOfTwoLengths: shortShapes({ inputs, shapes, batch }, 1) !== undefined }
    if (macs !== null && macs > 0) return cost
    first ??= cost
    if (++tried === mostTried) break
  }
  return first ?? costOf(model)
}

/** About how many trials a search needs: of decisions, which are counted, more than of noise, which tells how far the limit is. */
export const usualTrials = { decisions: 7, noise: 4 }

/** All of compressing. */
export function msToCompress({ tidying, running, searching, packing, unpacking, proving }: CompressCosts): number {
  return tidying + running + searching + packing + unpacking + proving
}
