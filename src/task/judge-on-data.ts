/** Judging on a data set, without the samples that the original itself has no answer for. */
import { subset } from '../data/batches.ts'
import type { Batcher, Dataset } from '../data/dataset.ts'
import { againFed, fedBatches } from '../data/fed-batches.ts'
import type { Model } from '../model.ts'
import { type Judge, type JudgeOptions, openJudge } from './judge.ts'

/** Samples for which the original gives NaN or infinity, of so many. */
export interface LeftOut {
  readonly samples: number
  readonly of: number
}

export interface DataJudge {
  readonly judge: Judge
  /** What it judges on. */
  readonly dataset: Dataset
  readonly leftOut: LeftOut
}

/** They are left out up to this share: where they are most, NaN and infinity are what such a model gives. */
const mostLeftOut = 0.5

/** Opens a judge on all samples for which the original gives finite values. `batchSize`: samples per call. */
export async function judgeOnData(
  model: Model,
  {
    batcher,
    dataset,
    batchSize,
    ...rest
  }: Pick<JudgeOptions, 'task' | 'signal'> & {
    readonly batcher: Batcher
    readonly dataset: Dataset
    readonly batchSize: number
  },
): Promise<DataJudge> {
  const open = (set: Dataset): Promise<Judge> =>
    openJudge(model, { ...rest, inputs: againFed(() => fedBatches(batcher, set, batchSize)), dataset: set })
  const judge = await open(dataset)
  const unfit = new Set(judge.unanswered)
  const of = dataset.length
  if (unfit.size === 0 || unfit.size > mostLeftOut * of) return { judge, dataset, leftOut: { samples: 0, of } }
  const answered = subset(
    dataset,
    Uint32Array.from({ length: of }, (_, i) => i).filter((i) => !unfit.has(i)),
  )
  return { judge: await open(answered), dataset: answered, leftOut: { samples: unfit.size, of } }
}
