/** How many random inputs a search judges on. */
import { expect, it } from 'vitest'
import { randomData } from '../evaluate/random-data.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import { type Model, withWeights } from '../model.ts'
import { parseMaxLoss } from '../task/max-loss.ts'
import { resolveTask } from '../task/resolve-task.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { randomScorer } from './scorer.ts'

const rng = random(1)
const weight = floatTensor(
  'w',
  [8, 10],
  Float32Array.from({ length: 80 }, () => rng.normal()),
)
/** Scores rounded to whole numbers: nothing but decisions. */
const decider: Model = model({
  nodes: [node('MatMul', ['x', 'w'], ['s']), node('Cast', ['s'], ['c'], { to: 7 })],
  initializers: new Map([['w', weight]]),
  inputs: [valueInfo('x', 'float32', ['N', 8])],
  outputs: [valueInfo('c', 'int64', ['N', 10])],
})

it('are enough that not one changed decision alone breaks the limit, where decisions are all that an output tells', async () => {
  const drawn = await randomData(decider, 1)
  const task = await resolveTask(decider, {})
  const noisy = withWeights(decider, [
    floatTensor(
      'w',
      [8, 10],
      floats(weight).map((w) => w * (1 + 0.001 * rng.normal())),
    ),
  ])
  for (const limit of ['0.5', '2']) {
    const max = parseMaxLoss(limit)
    const { samples, on } = await randomScorer(decider, { random: drawn, task, max, first: async () => noisy })
    expect((drawn.drawn(samples) * max.points) / 100, limit).toBeGreaterThanOrEqual(4)
    expect(on).toContain(`${drawn.drawn(samples).toLocaleString('en')} random inputs`)
  }
})
