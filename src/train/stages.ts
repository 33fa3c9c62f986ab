/**
 * Several trainings one after another as one run that may be stopped: each stage begins with the model that the one before gave,
 * and nothing else passes between them.
 */
import type { Dataset } from '../data/dataset.ts'
import type { Model } from '../model.ts'
import { type CheckpointStore, expectSameRun } from './checkpoint.ts'
import { decodeStages, encodeStages, type StagesState } from './stages-file.ts'
import { train } from './train.ts'
import type { EpochRecord, Progress, TrainOptions } from './train-options.ts'

/** Checkpoints are those of the stages. */
export type StageTraining = Omit<TrainOptions, 'checkpoint'>

export interface Stage {
  /** What is trained, or the stage's result where nothing is. */
  readonly model: Model
  readonly training?: StageTraining
}

/** `R` is what is told of a finished stage; plain JSON. */
export interface Stages<R> {
  readonly count: number
  /** Stage `index`, from 0, of what the one before gave. The same call gives the same bytes: it is made again on resuming. */
  begin(index: number, model: Model): Stage | Promise<Stage>
  record(index: number, model: Model, history: readonly EpochRecord[]): R
  /** Called after each stage, with the model; a resumed run first tells of the stages that were done before. */
  onStage?(record: R, model: Model): void | Promise<void>
  /** Saved after each stage and, within one, each epoch. */
  readonly checkpoint?: CheckpointStore
  /** Differs where the model, the data or an option differs. Asked for with a checkpoint only. */
  fingerprint(): string
  /** What a checkpoint is of, in messages, such as `pruning`. */
  readonly subject: string
}

/** The share of a training, or of all stages, that is over. */
export function shareOver({ step, steps, stage = 0, stages = 1 }: Progress): number {
  return (stage + step / steps) / stages
}

/** Runs them all. Throws where a checkpoint is of another run. */
export async function trainInStages<R>(model: Model, data: Dataset, stages: Stages<R>): Promise<Model> {
  const { count, checkpoint, onStage } = stages
  const fingerprint = checkpoint ? stages.fingerprint() : ''
  const resumed = await resume(stages, fingerprint)
  const finished = [...(resumed?.finished ?? [])] as R[]
  const done = finished.length
  let current = resumed?.model ?? model
  for (const record of finished) await onStage?.(record, current)
  for (let index = done; index < count; index++) {
    const before = current
    const { model: begun, training } = await stages.begin(index, current)
    current = begun
    let history: readonly EpochRecord[] = []
    if (training) {
      const store = checkpoint && {
        load: async () => (index === done ? resumed?.training : undefined),
        save: (bytes: Uint8Array) =>
          checkpoint.save(encodeStages({ fingerprint, finished, model: before, training: bytes })),
      }
      const { onProgress } = training
      const trained = await train(begun, data, {
        ...training,
        ...(onProgress ? { onProgress: (p) => onProgress({ ...p, stage: index, stages: count }) } : {}),
        checkpoint: store && { store },
      })
      current = trained.model
      history = trained.history
    }
    const record = stages.record(index, current, history)
    finished.push(record)
    await checkpoint?.save(encodeStages({ fingerprint, finished, model: current }))
    await onStage?.(record, current)
  }
  return current
}

async function resume<R>(
  { checkpoint, subject, count }: Stages<R>,
  fingerprint: string,
): Promise<StagesState | undefined> {
  const bytes = await checkpoint?.load()
  if (!bytes) return undefined
  const state = decodeStages(bytes, count)
  expectSameRun(state.fingerprint, fingerprint, { run: subject })
  return state
}
