/** What methods that train make of their context. */
import { splitDataset } from '../data/batches.ts'
import type { Dataset } from '../data/dataset.ts'
import type { Context } from '../method.ts'
import { engineOf, type Learning, trainOptionsOf } from '../train/learning.ts'
import type { TrainOptions } from '../train/train.ts'

export interface Training {
  readonly data: Dataset
  readonly options: Omit<TrainOptions, 'checkpoint'>
}

/** The training set, less what is held back to validate on, and the loop's options. Throws where there is no training set. */
export async function trainingOf(subject: string, learning: Learning, context: Context): Promise<Training> {
  const { data, task, seed = 0, signal, progress, warn } = context
  if (!data?.train || !data.batcher)
    throw new Error(`${subject}: there is no data to train on; expected a training set with labels or targets`)
  const { batchSize } = data.batcher
  if (batchSize !== undefined && learning.batch !== batchSize)
    throw new Error(`${subject}: batch is ${learning.batch}; expected ${batchSize}, the one size that the model takes`)
  const [training, validation] =
    learning.validation > 0 ? splitDataset(data.train, learning.validation, seed) : [data.train]
  return {
    data: training,
    options: {
      ...trainOptionsOf(learning),
      engine: await engineOf(learning),
      batcher: data.batcher,
      ...(task ? { task } : {}),
      ...(validation ? { validation } : {}),
      seed,
      signal,
      warn,
      onProgress: ({ step, steps, epoch, epochs, loss }) =>
        progress?.(step / steps, `epoch ${epoch + 1}/${epochs}: loss ${loss.toFixed(4)}`),
    },
  }
}
