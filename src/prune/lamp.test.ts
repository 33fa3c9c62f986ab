/** LAMP by its formula. */
import { describe, expect, it } from 'vitest'
import { weightTensors } from '../graph/weights.ts'
import { type Model, withWeights } from '../model.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { exampleModel } from '../testing/test-method.ts'
import { lamp } from './lamp.ts'
import { magnitude } from './magnitude.ts'

const zeros = (m: Model) =>
  weightTensors(m).map((w) => {
    const values = floats(w.tensor)
    return { share: values.filter((v) => v === 0).length / values.length, values }
  })

describe('lamp', () => {
  it('scores a weight by its square over the squares that are no smaller', async () => {
    const model = exampleModel()
    const weights = weightTensors(model)
    const all = weights.flatMap((w, tensor) => {
      const squares = Array.from(floats(w.tensor), (v) => v * v)
      return squares.map((s, i) => ({
        tensor,
        i,
        score: s === 0 ? 0 : s / squares.filter((o) => o >= s).reduce((a, b) => a + b, 0),
      }))
    })
    const count = Math.round(0.6 * all.length)
    const gone = all.toSorted((a, b) => a.score - b.score).slice(0, count)
    const pruned = zeros(await lamp(model, { sparsity: 0.6 }))
    expect(gone.every(({ tensor, i }) => pruned[tensor].values[i] === 0)).toBe(true)
    expect(pruned.reduce((n, p) => n + p.values.filter((v) => v === 0).length, 0)).toBe(count)
  })

  it('does not mind the scale of a layer, which wipes it out by plain magnitude', async () => {
    const model = exampleModel()
    const [first] = weightTensors(model)
    const small = withWeights(model, [
      floatTensor(
        first.tensor.name,
        first.tensor.dims,
        floats(first.tensor).map((v) => v * 2 ** -10),
      ),
    ])
    const shares = async (m: Model) => zeros(await lamp(m, { sparsity: 0.7 })).map((z) => z.share)
    expect(await shares(small)).toEqual(await shares(model))
    expect(zeros(await magnitude(small, { sparsity: 0.7, scope: 'global' }))[0].share).toBe(1)
  })

  it('keeps what is no number, and ranks the others as if it were not there', async () => {
    const model = exampleModel()
    const [first] = weightTensors(model)
    const values = floats(first.tensor).slice()
    values[5] = Number.NaN
    const broken = withWeights(model, [floatTensor(first.tensor.name, first.tensor.dims, values)])
    const [{ values: pruned, share }] = zeros(await lamp(broken, { sparsity: 0.5, scope: 'layer' }))
    expect(pruned[5]).toBeNaN()
    expect(share).toBeCloseTo(0.5, 2)
    const kept = Math.min(...pruned.filter((v) => v !== 0 && !Number.isNaN(v)).map(Math.abs))
    expect(pruned.every((v, i) => v !== 0 || Math.abs(values[i]) <= kept)).toBe(true)
  })
})
