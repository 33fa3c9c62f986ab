/** Ternary and binary weights against the formulas of their papers. */
import { describe, expect, it } from 'vitest'
import { weightTensors } from '../graph/weights.ts'
import { magnitude } from '../prune/magnitude.ts'
import { floats } from '../tensor/dtype.ts'
import { exampleModel } from '../testing/test-method.ts'
import { signs } from './signs.ts'

const find = (m: ReturnType<typeof exampleModel>, name: string) =>
  floats(weightTensors(m).find((w) => w.name === name)!.tensor)
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length

describe('signs', () => {
  it('ternary, a size for the tensor: the weights above 0.7 of the mean magnitude, by their mean', async () => {
    const before = [...find(exampleModel(), 'w2')]
    const after = find(await signs(exampleModel(), { sizes: 'tensor' }), 'w2')
    const least = 0.7 * mean(before.map(Math.abs))
    const size = mean(before.map(Math.abs).filter((v) => v > least))
    after.forEach((v, i) => {
      expect(v).toBeCloseTo(Math.abs(before[i]) > least ? Math.sign(before[i]) * size : 0, 6)
    })
  })

  it('binary, a size per output channel: the least squares of all signs', async () => {
    const before = find(exampleModel(), 'w2')
    const after = find(await signs(exampleModel(), { levels: 'binary' }), 'w2')
    for (let c = 0; c < 8; c++) {
      const own = [...before.subarray(72 * c, 72 * c + 72)]
      const size = mean(own.map(Math.abs))
      own.forEach((v, i) => {
        expect(after[72 * c + i]).toBeCloseTo(Math.sign(v) * size, 6)
      })
    }
  })

  it('a dense layer has a size per output too, zeros stay zero, small tensors and excluded ones stay', async () => {
    const pruned = await magnitude(exampleModel(), { sparsity: 0.5 })
    const after = await signs(pruned, { levels: 'binary', minElements: 1, exclude: ['w1'] })
    expect(find(after, 'w1')).toEqual(find(pruned, 'w1'))
    const [before, dense] = [find(pruned, 'w3'), find(after, 'w3')]
    for (let c = 0; c < 5; c++) {
      const sizes = [...dense.subarray(8 * c, 8 * c + 8)].filter((v) => v !== 0).map(Math.abs)
      expect(new Set(sizes).size).toBeLessThanOrEqual(1)
    }
    before.forEach((v, i) => {
      expect(dense[i] === 0).toBe(v === 0)
    })
  })
})
