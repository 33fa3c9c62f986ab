/** Emitted nodes know their shapes, and equal constants are made once. */
import { describe, expect, it } from 'vitest'
import { add, createEmitter, mul, type ValueType } from './emit.ts'

const types = new Map<string, ValueType>([
  ['x', { dtype: 'float32', shape: [1, 8, 4, 1] }],
  ['y', { dtype: 'float32', shape: [8, 4] }],
  ['scalar', { dtype: 'float32', shape: [] }],
])

describe('elementwise operators', () => {
  it.each([
    ['x', 'scalar'],
    ['scalar', 'x'],
  ])('%s and %s: a scalar has the rank of what ends in a 1', (a, b) => {
    const g = createEmitter(types, (name) => name)
    const sum = add(g, a, b)
    expect(g.shape(sum)).toEqual([1, 8, 4, 1])
    const shapes = g.nodes.at(-1)?.inputs.map((name) => g.shape(name))
    expect(shapes).toContainEqual([1, 1, 1, 1])
    expect(shapes).toContainEqual([1, 8, 4, 1])
  })

  it('leave a scalar alone elsewhere', () => {
    const g = createEmitter(types, (name) => name)
    mul(g, 'y', 'scalar')
    expect(g.nodes).toHaveLength(1)
  })
})
