/** Where nothing that a search finds holds its limit on other samples, what loses less is given, and at last what loses nothing. */
import { expect, it } from 'vitest'
import { bindSplits } from '../data/bind-splits.ts'
import type { Dataset } from '../data/dataset.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import { guessTask } from '../task/guess.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { compress } from './compress.ts'
import { fallbacksOf } from './fallbacks.ts'

/** Two scores of x [N,64], a row of weights each. */
const rng = random(3)
const weights = Float32Array.from({ length: 128 }, () => rng.normal())
const net = model({
  nodes: [node('Gemm', ['x', 'w'], ['scores'], { transB: 1 })],
  initializers: new Map([['w', floatTensor('w', [2, 64], weights)]]),
  inputs: [valueInfo('x', 'float32', ['N', 64])],
  outputs: [valueInfo('scores', 'float32', ['N', 2])],
})

/** Samples for which one score or the other is far larger; of the first `few` only by `margin`. */
function samples(id: string, length: number, few = 0, margin = 0): Dataset {
  const apart = Array.from({ length: 64 }, (_, j) => weights[j] - weights[64 + j])
  const norm = Math.hypot(...apart)
  const rows = Array.from({ length }, (_, i) => {
    const drawn = apart.map(() => rng.normal())
    const along = drawn.reduce((sum, v, j) => sum + (v * apart[j]) / norm, 0)
    const to = (i < few ? margin : 3) * (i % 2 === 0 ? 1 : -1)
    return drawn.map((v, j) => v + (to - along) * (apart[j] / norm))
  })
  return { id, length, fields: { x: { shape: [64], data: Float32Array.from(rows.flat()), kind: 'values' } } }
}

it('test samples nearer to the border than any search saw: the limit is held by the weights as they were', async () => {
  const data = bindSplits(net, { train: samples('train', 300), test: samples('test', 200, 8, 2e-6) })
  const result = await compress(net, { data, seed: 1 })
  expect(result.holds).toBe(true)
  expect(result.recipe.steps).toEqual([])
  // What searches judged is not what came out.
  expect(result.heldBack).toBeUndefined()
  expect(result.notes.join()).toMatch(/: the weights keep more of their precision than any search asked for/)
})

it('first the weights in 16 bits, where size is the goal, then those of the tidied model, then the model as it was', async () => {
  const wide = model({
    ...net.graph,
    initializers: new Map([['w', floatTensor('w', [2, 256], new Float32Array(512).fill(1.5))]]),
  })
  const tidied = {
    model: { ...wide, producerName: 'tidied' },
    steps: [['remove-unused', {}]],
    notes: ['tidied'],
  } as const
  const tried = async (goal: 'size' | 'speed') =>
    (await Promise.all(fallbacksOf(wide, tidied, { goal, task: guessTask(wide) }).map((make) => make()))).map(
      ({ found, tidied }) => ({
        types: [...found.model.graph.initializers.values()].map((t) => t.dtype),
        steps: [...tidied.steps, ...found.steps].map(([id]) => id),
        same: found.model === tidied.model,
      }),
    )
  const asTheyWere = [
    { types: ['float32'], steps: ['remove-unused'], same: true },
    { types: ['float32'], steps: [], same: true },
  ]
  expect(await tried('speed')).toEqual(asTheyWere)
  expect(await tried('size')).toEqual([
    { types: ['float16'], steps: ['remove-unused', 'float16'], same: false },
    ...asTheyWere,
  ])
})
