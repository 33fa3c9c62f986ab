/** A recipe of which two steps train, stopped at every checkpoint that it writes, gives the bytes of one that was not. */
import { beforeAll, expect, test } from 'vitest'
import { bindSplits } from '../data/bind-splits.ts'
import { drawDigits } from '../data/digits.ts'
import { writeModel } from '../onnx/write.ts'
import type { Recipe } from '../recipe.ts'
import { sha256 } from '../sweep/hash.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'
import { lenet300 } from '../zoo/lenet.ts'
import { runRecipe } from './run-recipe.ts'

const recipe: Recipe = {
  coppice: 1,
  seed: 5,
  calibration: { data: 'digits:100', samples: 64, batchSize: 32 },
  steps: [
    ['finetune', { epochs: 2, batch: 20 }],
    ['magnitude', { sparsity: 0.5 }],
    ['finetune', { epochs: 3, batch: 20 }],
    ['compact', {}],
  ],
}
const model = lenet300({ seed: 1, width: 0.05 })
const data = bindSplits(model, { train: drawDigits(100, 1), test: drawDigits(20, 2) }, { range: [0, 1] })
let whole: string

/** A store whose `last`-th write is the last that is made: then the run is stopped, as by a kill. */
function storeOf() {
  let kept: Uint8Array | undefined
  let left = Number.POSITIVE_INFINITY
  let writes = 0
  const store: CheckpointStore = {
    load: async () => kept,
    save: async (bytes) => {
      if (left-- <= 0) throw new Error('killed')
      kept = bytes
      writes++
    },
  }
  return { store, stopAfter: (n: number) => void (left = n), writes: () => writes }
}

const run = async (checkpoint: CheckpointStore, changed = recipe): Promise<string> =>
  sha256(writeModel(await runRecipe(model, changed, { data, checkpoint })))

beforeAll(async () => {
  whole = await run(storeOf().store)
})

test('stopped after one more checkpoint each time, it gives the same bytes', async () => {
  const { store, stopAfter, writes } = storeOf()
  let result: string | undefined
  let stops = 0
  while (result === undefined) {
    stopAfter(1)
    const before = writes()
    try {
      result = await run(store)
    } catch (error) {
      expect((error as Error).message).toContain('killed')
      expect(writes()).toBe(before + 1)
      expect(++stops).toBeLessThan(20)
    }
  }
  expect(stops).toBeGreaterThan(3)
  expect(result).toBe(whole)
})

test('the checkpoint of another recipe, or a damaged one, is refused', async () => {
  const { store } = storeOf()
  await run(store)
  await expect(run(store, { ...recipe, seed: 6 })).rejects.toThrow('it is of another recipe')
  const bytes = (await store.load()) as Uint8Array
  bytes[bytes.length >> 1] ^= 1
  await expect(run(store)).rejects.toThrow('checkpoint: its checksum is wrong')
})
