/** Orthonormal rows and leading eigenvectors, whichever way they are computed. */
import { describe, expect, it } from 'vitest'
import { random } from '../tensor/random.ts'
import { gram, type Matrix, matrix, multiply, orthonormal, spectral, sumOfSquares, transposed } from './_matrix.ts'

const rng = random(2)
const draw = (rows: number, columns: number): Matrix =>
  matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => rng.normal()),
  )

/** Rows that are scaled one by one. */
const scaled = ({ rows, columns, data }: Matrix, by: (row: number) => number): Matrix =>
  matrix(
    rows,
    columns,
    data.map((v, at) => v * by(Math.floor(at / columns))),
  )

/** The norm of what is left of rows without their parts along unit rows, as a share. */
async function outside(rows: Matrix, units: Matrix): Promise<number> {
  const back = await multiply(await multiply(rows, units, 'nt'), units)
  return Math.sqrt(sumOfSquares(rows.data.map((v, i) => v - back.data[i])) / sumOfSquares(rows.data))
}

describe('orthonormal rows', () => {
  it.each<[string, Matrix]>([
    ['one', draw(1, 7)],
    ['random', draw(70, 200)],
    ['as many as columns', draw(90, 90)],
    ['of very different sizes', scaled(draw(80, 160), (r) => 10 ** (20 - r))],
  ])('%s', async (_, given) => {
    const found = await orthonormal(given)
    const { data } = await multiply(found, found, 'nt')
    for (let i = 0; i < data.length; i++) expect(data[i]).toBeCloseTo(i % (found.rows + 1) === 0 ? 1 : 0, 12)
    // Row by row, since some are far smaller than others.
    for (let r = 0; r < given.rows; r++)
      expect(
        await outside(matrix(1, given.columns, given.data.slice(r * given.columns, (r + 1) * given.columns)), found),
      ).toBeLessThan(1e-11)
  })

  it('that depend on one another, nearly or wholly, span what they span; zero rows stand for those that add nothing', async () => {
    const few = draw(5, 120)
    const many = await multiply(draw(60, 5), few)
    const found = await orthonormal(many)
    expect(await outside(few, found)).toBeLessThan(1e-10)
    expect(sumOfSquares(found.data)).toBeCloseTo(5, 9)
    const near = matrix(
      60,
      120,
      many.data.map((v) => v + 1e-8 * rng.normal()),
    )
    const full = await orthonormal(near)
    const { data } = await multiply(full, full, 'nt')
    for (let i = 0; i < data.length; i++) expect(data[i]).toBeCloseTo(i % 61 === 0 ? 1 : 0, 12)
    expect(await orthonormal(matrix(3, 4))).toEqual(matrix(3, 4))
  })
})

describe('the leading eigenvectors of A·Aᵀ', () => {
  it.each([
    [40, 100, 7],
    [40, 100, 40],
    [300, 400, 100],
    // Large enough for subspace iteration.
    [600, 700, 20],
  ])('%i x %i, %i of them, where the rest is noise', async (rows, columns, count) => {
    const signal = await multiply(
      scaled(transposed(scaled(draw(count, rows), (r) => 2 - r / count)), () => 10),
      draw(count, columns),
    )
    const a = matrix(
      rows,
      columns,
      signal.data.map((v) => v + rng.normal()),
    )
    const of = spectral(gram(a), 1)
    const values = await of.values(count)
    const basis = await of.basis(count)
    const images = await multiply(await multiply(basis, a), a, 'nt')
    for (let r = 0; r < count; r++)
      for (let i = 0; i < rows; i++)
        expect((images.data[r * rows + i] - values[r] * basis.data[r * rows + i]) / values[0]).toBeCloseTo(0, 3)
    const { data } = await multiply(basis, basis, 'nt')
    for (let i = 0; i < data.length; i++) expect(data[i]).toBeCloseTo(i % (count + 1) === 0 ? 1 : 0, 11)
  })

  it('of zeros and of one entry, and of low rank with more vectors than that', async () => {
    const nothing = spectral(gram(matrix(6, 8)), 1)
    expect([...(await nothing.values(6))]).toEqual([0, 0, 0, 0, 0, 0])
    expect(sumOfSquares((await nothing.basis(2)).data)).toBeCloseTo(2, 12)
    const one = spectral(gram(matrix(1, 2, Float64Array.of(3, 4))), 1)
    expect((await one.values(1))[0]).toBeCloseTo(25, 12)
    const low = await multiply(draw(90, 3), draw(3, 50))
    const of = spectral(gram(low), 1)
    const values = await of.values(90)
    expect(values.filter((v) => v > 1e-10 * values[0])).toHaveLength(3)
    const basis = await of.basis(20)
    const products = (await multiply(basis, basis, 'nt')).data
    for (let i = 0; i < products.length; i++) expect(products[i]).toBeCloseTo(i % 21 === 0 ? 1 : 0, 11)
    expect(await outside(transposed(low), await of.basis(3))).toBeLessThan(1e-10)
  })
})
