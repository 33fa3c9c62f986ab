/** Judging on a data set, without the samples that the original itself has no answer for. */
import type { Batcher, Dataset } from '../data/dataset.ts'
import { againFed, fedBatches } from '../data/fed-batches.ts'
import type { Model } from '../model.ts'
import { type Judge, type JudgeOptions, openJudge } from './judge.ts'
import { type LeftOut, withoutSamples } from './unanswered.ts'

export interface DataJudge {
  readonly judge: Judge
  /** What it judges on. */
  readonly dataset: Dataset
  readonly leftOut: LeftOut
}

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
  const { dataset: answered, leftOut } = withoutSamples(dataset, new Set(judge.unanswered))
  return { judge: answered === dataset ? judge : await open(answered), dataset: answered, leftOut }
}
