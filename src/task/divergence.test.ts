import { expect, it } from 'vitest'
import type { Value } from '../method.ts'
import { divergenceFrom } from './divergence.ts'
import type { Task } from './task.ts'

const task: Task = { outputs: [{ output: 'y', kind: 'numbers', why: '' }] }
const outputs = (data: readonly number[]): Record<string, Value>[] => [
  { y: { dtype: 'float32', dims: [data.length, 1], data: Float32Array.from(data) } },
]

it('is the noise as a share of what values vary', () => {
  const of = divergenceFrom(outputs([1, 2, 3, 4]), task)
  expect(of(outputs([1, 2, 3, 4]))).toBe(0)
  expect(of(outputs([2, 2, 3, 4]))).toBeCloseTo((1 / 5) * (3 / 4), 1)
})

it('answers that are infinite, as a logarithm of silence, make no noise', () => {
  const of = divergenceFrom(outputs([1, 2, Number.NEGATIVE_INFINITY, 4]), task)
  expect(of(outputs([1, 2, Number.NEGATIVE_INFINITY, 4]))).toBe(0)
  const some = of(outputs([2, 2, Number.NEGATIVE_INFINITY, 4]))
  expect(some).toBeGreaterThan(0)
  expect(some).toBeLessThan(1)
})

const inf = Number.NEGATIVE_INFINITY
const classes: Task = { outputs: [{ output: 'y', kind: 'classes', axis: 1, why: '' }] }
const scores = (data: readonly number[]): Record<string, Value>[] => [
  { y: { dtype: 'float32', dims: [data.length / 3, 3], data: Float32Array.from(data) } },
]

it.each([
  ['a sample whose scores are NaN', [1, 2, 0, Number.NaN, Number.NaN, Number.NaN]],
  ['classes behind a mask', [1, 2, 0, inf, 1, 1]],
  ['a sample with no class that may be', [1, 2, 0, inf, inf, inf]],
])('of classes, %s hides nothing of the others', (_, original) => {
  const of = divergenceFrom(scores(original), classes)
  expect(of(scores(original))).toBe(0)
  const near = of(scores([1.1, ...original.slice(1)]))
  const far = of(scores([2, ...original.slice(1)]))
  expect([near > 0, far > 10 * near, Number.isFinite(far)]).toEqual([true, true, true])
})

it('NaN in place of an answer is as far as can be', () => {
  const of = divergenceFrom(scores([1, 2, 0]), classes)
  expect(of(scores([1, Number.NaN, 0]))).toBe(Number.POSITIVE_INFINITY)
})
