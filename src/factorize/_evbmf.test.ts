import { describe, expect, it } from 'vitest'
import { random } from '../tensor/random.ts'
import { evbmfRank } from './_evbmf.ts'
import { gram, matrix, multiply, spectral, sumOfSquares, transposed } from './_matrix.ts'

/** A matrix of planted rank, its singular values between 1 and 2 times √(rows · columns) / 4, with normal noise. */
async function planted(rows: number, columns: number, rank: number, noise: number, seed: number) {
  const rng = random(seed)
  const draw = (r: number, c: number) =>
    matrix(
      r,
      c,
      Float64Array.from({ length: r * c }, () => rng.normal()),
    )
  const signal = await multiply(draw(rows, rank), draw(rank, columns))
  return matrix(
    rows,
    columns,
    signal.data.map((v) => v / Math.sqrt(rank) + noise * rng.normal()),
  )
}

async function rankOf(w: ReturnType<typeof matrix>, count = w.rows): Promise<number> {
  const wide = w.rows <= w.columns ? w : transposed(w)
  const values = await spectral(gram(wide), 1).values(count)
  return evbmfRank({ squares: values.slice(0, count), total: sumOfSquares(w.data), l: wide.rows, m: wide.columns })
}

describe('variational Bayesian matrix factorisation', () => {
  it.each([
    [0, 12],
    [0.05, 12],
    [0.2, 12],
    [0.5, 5],
    [0.8, 3],
    [0.2, 1],
  ])('finds a planted rank at noise of %d of the signal: %d, lying and standing', async (noise, rank) => {
    for (const [rows, columns] of [
      [60, 200],
      [200, 60],
      [80, 80],
    ]) {
      expect(await rankOf(await planted(rows, columns, rank, noise, 3))).toBe(rank)
    }
  })

  it('finds nothing in noise, and nothing in zeros', async () => {
    expect(await rankOf(await planted(60, 200, 1, 1e6, 5))).toBe(0)
    expect(await rankOf(matrix(10, 20))).toBe(0)
  })

  it('needs the leading singular values alone', async () => {
    const w = await planted(100, 300, 9, 0.3, 7)
    expect(await rankOf(w, 30)).toBe(9)
  })
})
