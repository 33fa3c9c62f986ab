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
import { type CheckpointStore, expectSameRun } from '../train/checkpoint.ts'
import { type RunKind, sealRun, unsealRun } from '../train/run-file.ts'

/** The step that a run is in, from 0; its model is the one that this step began with. */
const kind: RunKind<number> = {
  magic: 'COPRCP2',
  whose: 'a recipe',
  fits: (step, models): step is number => Number.isSafeInteger(step) && Number(step) >= 0 && models === 1,
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
  const save = (step: number, bytes: Uint8Array, training?: Uint8Array): Promise<void> =>
    store.save(sealRun(kind, { fingerprint, progress: step, models: [bytes], ...(training ? { training } : {}) }))
  const stored = await store.load()
  const found = stored && unsealRun(kind, stored)
  if (found) expectSameRun(found.fingerprint, fingerprint, { run: 'recipe', parts: 'model, steps or seed' })
  let current = found ? readModel(found.models[0]) : model
  for (let i = found?.progress ?? 0; i < steps.length; i++) {
    const { trains } = methodNamed(steps[i][0])
    const progress = (done: number, what: string): void => context.progress?.((i + done) / steps.length, what)
    if (!trains) {
      current = await runSteps(current, [steps[i]], { ...context, progress })
      continue
    }
    const bytes = writeModel(current)
    let own: Uint8Array | undefined = i === found?.progress ? found.training : undefined
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
