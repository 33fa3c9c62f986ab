/** Outputs against the answers that the data has. */
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

const classAtEach = (data: Float32Array) => ({
  id: 'd',
  length: 2,
  fields: {},
  targets: { shape: [3], data, kind: 'values' as const },
})

it('a class at each position of a sequence is compared as a class, along any axis', () => {
  // Two samples of three positions with four classes: the largest score is at the answer, but for one.
  const answers = [3, 0, 2, 1, 1, 3]
  const decided = [3, 0, 2, 1, 0, 3]
  const last = new Float32Array(24)
  const middle = new Float32Array(24)
  decided.forEach((c, i) => {
    last[i * 4 + c] = 5
    middle[Math.floor(i / 3) * 12 + c * 3 + (i % 3)] = 5
  })
  const loss = 5 / 6 + (Math.log(3 + Math.exp(5)) - 5)
  for (const [dims, data, axis] of [
    [[2, 3, 4], last, 2],
    [[2, 4, 3], middle, 1],
  ] as const) {
    const tally = new AnswerTally(
      { output: 'y', kind: 'tokens', axis, why: '' },
      classAtEach(Float32Array.from(answers)),
    )
    tally.add({ dtype: 'float32', dims, data }, [0, 1])
    expect(tally.result().accuracy).toBeCloseTo(5 / 6, 12)
    expect(tally.result().loss).toBeCloseTo(loss, 6)
  }
})

it('a class that the output has no score for is named with its sample', () => {
  const answers = Float32Array.from([3, 0, 2, 1, 4, 3])
  const tally = new AnswerTally({ output: 'y', kind: 'tokens', axis: 2, why: '' }, classAtEach(answers))
  const value = { dtype: 'float32', dims: [2, 3, 4], data: new Float32Array(24) }
  expect(() => tally.add(value, [0, 1])).toThrow('d: sample 1 is of class 4; expected 0 to 3, the scores of output "y"')
})

it('the loss of a yes or no counts answers between them as they are', () => {
  const answers = Float32Array.from([1, 0.25, 0, 0.75, 1, 0.5])
  const logits = Float32Array.from([2, -1, -3, 0.5, -0.25, 0])
  const tally = new AnswerTally({ output: 'y', kind: 'labels', why: '' }, classAtEach(answers))
  tally.add({ dtype: 'float32', dims: [2, 3], data: logits }, [0, 1])
  const each = answers.map(
    (a, i) => -a * Math.log(1 / (1 + Math.exp(-logits[i]))) - (1 - a) * Math.log(1 / (1 + Math.exp(logits[i]))),
  )
  expect(tally.result().loss).toBeCloseTo(each.reduce((a, b) => a + b) / 6, 5)
  expect(tally.result().accuracy).toBeCloseTo(5 / 6, 12)
})

it('numbers that are none are counted, and no error is told of them', () => {
  const targets = { shape: [2], data: Float32Array.of(0, 1, 2, 3, 4, 5), kind: 'values' as const }
  const dataset = { id: 'd', length: 3, fields: {}, targets }
  const scored = (data: readonly number[]) => {
    const tally = new AnswerTally({ output: 'y', kind: 'numbers', labelled: true, why: '' }, dataset)
    tally.add({ dtype: 'float32', dims: [3, 2], data: Float32Array.from(data) }, [0, 1, 2])
    return tally.result()
  }
  const { NaN: nan, POSITIVE_INFINITY: inf } = Number
  expect(scored([0, 1, nan, 3, 4, 5])).toEqual({ samples: 2, unanswered: 1, explained: 1, rmse: 0, loss: 0 })
  expect(scored([0, nan, nan, 3, inf, 5])).toMatchObject({ samples: 0, unanswered: 3, rmse: nan, loss: nan })
  expect(scored([0, 1, 2, 3, 4, 5])).not.toHaveProperty('unanswered')
})
