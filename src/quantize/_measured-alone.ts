/** How much a model's outputs change where one weight alone is changed, on calibration inputs. */
import { behindCut } from '../calibrate/behind-cut.ts'
import type { DataHandle, InputGroup } from '../data/handle.ts'
import { withInputShapes } from '../graph/input-shapes.ts'
import { replaceTensors, type WeightTensor } from '../graph/weights.ts'
import { inspectModel } from '../inspect/inspect.ts'
import type { Context, Feeds } from '../method.ts'
import type { Model, Tensor } from '../model.ts'
import { divergenceFrom } from '../task/divergence.ts'
import { guessTask } from '../task/guess.ts'
import { judgedModel } from '../task/judged-model.ts'

/** The calibration samples that sensitivities are measured on. */
const sensitivitySamples = 256
/** Multiply-adds that measuring all sensitivities on random inputs may take, were whole models run: a minute or two. */
const sensitivityCost = 2e12

export interface MeasuredAlone {
  /** Each weight may be measured once only: more would take too long. */
  readonly once: boolean
  /** To be called before the divergences of a weight; weights in the order of the graph share what comes before them. */
  moveTo(weight: WeightTensor): Promise<void>
  /** Of the model's outputs with another tensor in place of one: the KL divergence of classes, squared error of numbers, ... */
  divergence(tensor: Tensor, replacement: Tensor): Promise<number>
}

/** `count` weights are going to be measured. The context has data. */
export async function measuredAlone(
  model: Model,
  { count, context, subject }: { readonly count: number; readonly context: Context; readonly subject: string },
): Promise<MeasuredAlone> {
  const { task = guessTask(model) } = context
  const { batches, groups, once } = sensitivityInputs(model, count, context)
  const judged = judgedModel(model, task)
  const behind = behindCut(judged, batches, { subject, signal: context.signal })
  const outputsOf = async (changed: Model): Promise<Feeds[]> => {
    const made: Feeds[] = []
    await behind.run(changed, (outputs) => void made.push(outputs))
    return made
  }
  const divergenceOf = divergenceFrom(await outputsOf(judged), task, { batches, groups })
  return {
    once,
    moveTo: (weight) => behind.moveTo(weight),
    divergence: async (tensor, replacement) =>
      divergenceOf(await outputsOf(replaceTensors(judged, new Map([[tensor, replacement]])))),
  }
}

/** The batches that sensitivities are measured on, their ranges where they are random, and whether one pass must do. */
function sensitivityInputs(
  model: Model,
  layers: number,
  { data }: Context,
): { batches: Feeds[]; groups?: InputGroup[]; once: boolean } {
  const { calibration, groups } = data as DataHandle
  const all = calibration()
  if (!groups) return { batches: firstSamples(all, sensitivitySamples), once: false }
  const batches = [...all]
  const { totals } = inspectModel(
    withInputShapes(model, new Map(Object.entries(batches[0] ?? {}).map(([n, v]) => [n, v.dims]))),
  )
  const affordable = Math.floor(sensitivityCost / (2 * layers * Math.max(1, totals.macs ?? 0, totals.params)))
  if (affordable >= batches.length) return { batches, groups: [...groups], once: false }
  // What an output varies by shows from two samples on.
  const least = Object.values(batches[0] ?? {})[0]?.dims[0] === 1 ? 2 : 1
  const perGroup = Math.max(least, Math.floor((2 * affordable) / new Set(groups).size))
  const chosen = groups.flatMap((g, b) => (groups.slice(0, b).filter((o) => o === g).length < perGroup ? [b] : []))
  return { batches: chosen.map((b) => batches[b]), groups: chosen.map((b) => groups[b]), once: true }
}

/** Whole batches until there are enough samples (batches without a leading axis count as one). */
function firstSamples(batches: Iterable<Feeds>, count: number): Feeds[] {
  const taken: Feeds[] = []
  let samples = 0
  for (const feeds of batches) {
    taken.push(feeds)
    samples += Object.values(feeds)[0]?.dims[0] ?? 1
    if (samples >= count) break
  }
  return taken
}
