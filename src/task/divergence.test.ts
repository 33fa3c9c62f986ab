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
