/** Outputs against the numbers that the data has. */
import { expect, it } from 'vitest'
import { random } from '../tensor/random.ts'
import { AnswerTally } from './answer-tally.ts'
import { answersFor } from './answers.ts'
import { samplesOf } from './samples.ts'
import { DecisionTally } from './tally-decisions.ts'

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

it('counts positions that have a class, and leaves out those that are marked', () => {
  const dataset = {
    id: 'd',
    length: 2,
    fields: {},
    targets: { shape: [3], data: Float32Array.of(0, 1, -100, 1, 1, 0), kind: 'values' as const },
  }
  const task = { output: 'y', kind: 'tokens' as const, axis: 2, labelled: true, why: '' }
  // Scores of two classes for three positions of each sample: the decisions are 0 1 0 and 0 1 1.
  const scores = Float32Array.of(1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1)
  const tally = new AnswerTally(task, dataset)
  const value = { dtype: 'float32', dims: [2, 3, 2], data: scores }
  tally.add(value, [0, 1])
  expect(tally.result()).toMatchObject({ samples: 2, correct: 3, accuracy: 3 / 5 })

  const decisions = new DecisionTally(task)
  const out = samplesOf(value, { fed: 2, count: 2 })
  decisions.add(out, out, answersFor(dataset, [0, 1], 2))
  expect(decisions.finish().right).toMatchObject({ before: 3 / 5, after: 3 / 5, total: 5 })
})
