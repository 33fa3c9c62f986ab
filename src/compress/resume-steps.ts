/**
 * The steps of a recipe, of which several may train, with one checkpoint: which step a run is in, the model that this step
 * began with, and the step's own checkpoint. It is written where training writes one, and after each step that trains.
 */
import type { Context } from '../method.ts'
import { methodNamed } from '../methods.ts'
import type { Model } from '../model.ts'
import { modelFingerprint } from '../onnx/fingerprint.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { checkSteps, runSteps, type Step } from '../recipe.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'
import { seal, unseal } from '../train/checkpoint-bytes.ts'

const kind = 'COPRCP1'

interface Position {
  /** The run that it is of: its model, steps and seed. */
  readonly fingerprint: string
  /** The step that the run is in, from 0. */
  readonly step: number
  /** Bytes of the model that the step began with; the rest is the step's own checkpoint. */
  readonly modelBytes: number
}

/**
 * Like `runSteps`, from where the checkpoint is. A model is read back from its bytes wherever it might be stored, stopped or
 * not, so that a run that was stopped gives the same. Throws one sentence where the checkpoint is of another run.
 */
export async function resumeSteps(
  model: Model,
  steps: readonly Step[],
  context: Context,
  store: CheckpointStore,
): Promise<Model> {
  checkSteps(steps)
  const fingerprint = `${modelFingerprint(model)} ${JSON.stringify([context.seed, steps])}`
  const save = (step: number, bytes: Uint8Array, own?: Uint8Array): Promise<void> =>
    store.save(seal(kind, { fingerprint, step, modelBytes: bytes.length }, own ? [bytes, own] : [bytes]))
  const found = await begin(store, fingerprint)
  let current = found ? readModel(found.bytes) : model
  for (let i = found?.step ?? 0; i < steps.length; i++) {
    const { trains } = methodNamed(steps[i][0])
    const progress = (done: number, what: string): void => context.progress?.((i + done) / steps.length, what)
    if (!trains) {
      current = await runSteps(current, [steps[i]], { ...context, progress })
      continue
    }
    const bytes = writeModel(current)
    let own: Uint8Array | undefined = i === found?.step ? found.own : undefined
    const checkpoint: CheckpointStore = {
      load: async () => own,
      save: async (saved) => {
        own = saved
        await save(i, bytes, saved)
      },
    }
    const trained = writeModel(await runSteps(readModel(bytes), [steps[i]], { ...context, progress, checkpoint }))
    await save(i + 1, trained)
    current = readModel(trained)
  }
  return current
}

async function begin(store: CheckpointStore, fingerprint: string) {
  const stored = await store.load()
  if (!stored) return undefined
  const { header, body } = unseal(stored, kind, 'a recipe')
  const position = header as Position | null | undefined
  if (!position || !(position.modelBytes > 0 && position.modelBytes <= body.length) || !(position.step >= 0))
    throw new Error('checkpoint: its header is damaged; expected a step and a model')
  if (position.fingerprint !== fingerprint)
    throw new Error(
      'checkpoint: it is of another recipe (model, steps or seed differ); expected that of this run, or none',
    )
  const own = body.slice(position.modelBytes)
  return {
    step: position.step,
    bytes: body.slice(0, position.modelBytes),
    ...(own.length > 0 ? { own } : {}),
  }
}
