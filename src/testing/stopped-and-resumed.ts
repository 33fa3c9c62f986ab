/** For methods that train: a run that is stopped and goes on from its checkpoint gives what one run does. */
import { expect } from 'vitest'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'

type Run = (context: Pick<Context, 'checkpoint' | 'signal'>) => Promise<Model>

/** Stops runs as a checkpoint is saved, each at that of its number in `stopsAt`, and expects the last one's bytes to be the whole run's. */
export async function expectSameBytesResumed(run: Run, stopsAt: readonly number[]): Promise<void> {
  const whole = writeModel(await run({}))
  let saved: Uint8Array | undefined
  for (const stopAt of stopsAt) {
    const stop = new AbortController()
    let saves = 0
    const checkpoint: CheckpointStore = {
      load: async () => saved,
      save: async (bytes) => {
        saved = bytes
        if (++saves === stopAt) stop.abort()
      },
    }
    await expect(run({ checkpoint, signal: stop.signal })).rejects.toThrow('stopped')
  }
  const resumed = await run({ checkpoint: { load: async () => saved, save: async () => {} } })
  expect(Buffer.compare(writeModel(resumed), whole)).toBe(0)
}
