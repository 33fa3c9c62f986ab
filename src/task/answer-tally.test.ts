/** Outputs against the numbers that the data has. */
import { expect, it } from 'vitest'
import { random } from '../tensor/random.ts'
import { AnswerTally } from './answer-tally.ts'

it('a constant answer explains nothing of numbers whose means differ widely', () => {
  const rng = random(3)
  const means = [-1e4, 0, 1000]
  const answers = Float32Array.from({ length: 600 }, (_, i) => means[i % 3] + rng.normal())
  const dataset = {
    id: 'd',
    length: 200,
    fields: {},
    targets: { shape: [3], data: answers, kind: 'values' as const },
  }
  const explained = (data: Float32Array): number => {
    const tally = new AnswerTally({ output: 'y', kind: 'numbers', labelled: true, why: '' }, dataset)
    for (const from of [0, 100])
      tally.add(
        { dtype: 'float32', dims: [100, 3], data: data.subarray(3 * from, 3 * from + 300) },
        Array.from({ length: 100 }, (_, i) => from + i),
      )
    return tally.result().explained as number
  }
  expect(explained(answers)).toBe(1)
  expect(explained(answers.map((_, i) => means[i % 3]))).toBeCloseTo(0, 1)
})
