/** Training data and options for methods that train, from their context and option table. */
import type { Dataset } from '../data/dataset.ts'
import { dataHandle } from '../data/handle.ts'
import type { Context } from '../method.ts'
import { engineOf, halvesOf, type Learning, trainOptionsOf } from '../train/learning.ts'
import { shareOver } from '../train/stages.ts'
import type { TrainOptions } from '../train/train-options.ts'

export interface Training {
  readonly data: Dataset
  /** Its data are those that are trained on. */
  readonly context: Context
  readonly options: Omit<TrainOptions, 'checkpoint'>
}

/** The training set, less what is held back to validate on, and the loop's options. Throws where there is no training set. */
export async function trainingOf(subject: string, learning: Learning, context: Context): Promise<Training> {
  const { data, task, seed = 0, signal, progress, warn } = context
  if (!data?.train || !data.batcher)
    throw new Error(`${subject}: there is no data to train on; expected a training set with labels or targets`)
  const { train, batcher } = data
  const called = (option: string): string => `${subject}: ${option}`
  const { training, heldBack } = halvesOf(train, learning, seed)
  return {
    data: training,
    // What is held back must not be seen by what scores weights either.
    context: heldBack
      ? { ...context, data: dataHandle({ train: training, batcher }, { seed, usual: data.usual }) }
      : context,
    options: {
      ...trainOptionsOf(learning, called),
      engine: await engineOf(learning),
      batcher,
      ...(task ? { task } : {}),
      ...(heldBack ? { validation: heldBack } : {}),
      seed,
      signal,
      warn,
      onProgress: (now) => {
        const { epoch, epochs, stage, stages, loss } = now
        const training = stage === undefined ? '' : `training ${stage + 1}/${stages}, `
        progress?.(shareOver(now), `${training}epoch ${epoch + 1}/${epochs}: loss ${loss.toFixed(4)}`)
        return context.training?.(now)
      },
    },
  }
}
