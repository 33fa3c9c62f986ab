/** The task of a model at work: guessed from the data and a first run, or given by the user. */
import type { Dataset } from '../data/dataset.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { guessTask } from './guess.ts'
import { judgedModel } from './judged-model.ts'
import { parseTask, type Task } from './task.ts'

export interface ResolveOptions {
  /** The words of `--task`. */
  readonly told?: string
  readonly dataset?: Dataset
  /** Inputs of one call, whose outputs' dimensions and range tell more. */
  readonly feeds?: Feeds
}

export async function resolveTask(model: Model, { told, dataset, feeds }: ResolveOptions): Promise<Task> {
  const first = guessTask(model, { dataset })
  const judged = first.outputs.some((o) => o.kind !== 'ignored')
  const seen =
    feeds && judged
      ? await withSession(
          () => openSession(judgedModel(model, first)),
          (session) => session.run(feeds),
        )
      : undefined
  const guessed = seen ? guessTask(model, { dataset, seen }) : first
  return told === undefined ? guessed : parseTask(told, guessed, model)
}
