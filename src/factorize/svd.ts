/**
 * Dense layers and 1x1 convolutions as two thinner ones: W ≈ U V of rank r, by the singular value decomposition
 * (Eckart & Young 1936; Denton et al. 2014, arXiv:1404.0736). n·m multiply-adds become (n + m)·r.
 *
 * In the norm of the data W is projected on the leading principal components of the layer's outputs, E‖W x - U V x‖² being
 * what is least (Zhang et al. 2015, arXiv:1505.06798). The factors are balanced: each pair of a column of U and a row of V has
 * equal norms. A grouped convolution is factorised group by group, all with one rank. A layer stays whole where the factors
 * would not be cheaper.
 */
import { defineMethod } from '../method.ts'
import { type DataNorm, lossOf, lostMeans } from './_data-norm.ts'
import { factorizeLayers, type Given } from './_factorize.ts'
import { type FactorLayer, type Factors, type Loss, macsOf, placesIn } from './_layers.ts'
import { gram, type Matrix, matrix, multiply, type Symmetric, spectral, transposed } from './_matrix.ts'
import { chosenRank, layerOptions, type RankOptions, rankOptions, type Spectra, spectrumOf } from './_ranks.ts'

export const svd = defineMethod({
  id: 'svd',
  help: 'replaces each dense layer and 1x1 convolution by two thinner ones, where that is cheaper; outputs change',
  data: 'calibration inputs, whose covariance says which errors show; without them the weights themselves are approximated',
  options: { ...rankOptions, ...layerOptions },
  run: (model, options, context) =>
    factorizeLayers(
      'svd',
      { model, options, context },
      {
        isFor: ({ kernel }) => placesIn(kernel) === 1,
        kind: 'dense layer or 1x1 convolution',
        plan,
      },
    ),
})

async function plan(layer: FactorLayer, { norms, options, seed }: Given<RankOptions>) {
  const { groups, outputs, inputs, places } = layer
  // The first factor carries the strides, so both are computed where the layer's outputs are.
  const perRank = places.made * groups * (inputs + outputs)
  const parts = await Promise.all(matricesOf(layer).map((w, g) => decomposed(w, norms?.[g], seed)))
  const costs = { macs: [macsOf(layer), perRank], parameters: [outputs * inputs, outputs + inputs] } as const
  const rank = await chosenRank(
    parts.map((p) => p.spectra),
    options,
    { full: Math.min(outputs, inputs), costs },
  )
  return { macs: rank * perRank, make: () => factorsOf(layer, { parts, rank, norms }) }
}

/** The matrix of each group, outputs x inputs. */
export function matricesOf({ groups, outputs, inputs, kernel, weights }: FactorLayer): Matrix[] {
  const columns = inputs * placesIn(kernel)
  const size = outputs * columns
  return Array.from({ length: groups }, (_, g) => matrix(outputs, columns, weights.subarray(g * size, (g + 1) * size)))
}

interface Decomposed {
  readonly matrix: Matrix
  readonly spectra: Spectra
  /** The matrix as U V of that rank: U outputs x rank, V rank x inputs. */
  factors(rank: number): Promise<{ readonly u: Matrix; readonly v: Matrix }>
}

/** A matrix with its singular values and factors, in the norm of the data where that is given. */
async function decomposed(w: Matrix, norm: DataNorm | undefined, seed: number): Promise<Decomposed> {
  const wide = w.rows <= w.columns ? w : transposed(w)
  const plain = spectral(gram(wide), seed)
  const outputs = norm && spectral(await outputCovariance(w, norm), seed)
  return {
    matrix: w,
    spectra: {
      plain: (count) => spectrumOf(plain, count, w),
      kept: (count) => spectrumOf(outputs ?? plain, count, w),
    },
    async factors(rank) {
      const directions = await (outputs ?? plain).basis(rank)
      // Directions among outputs, or among inputs where these are fewer.
      if (outputs || wide === w) return balanced({ u: transposed(directions), v: await multiply(directions, w) })
      return balanced({ u: await multiply(w, directions, 'nt'), v: directions })
    },
  }
}

/** W C Wᵀ. */
export async function outputCovariance(w: Matrix, norm: DataNorm): Promise<Symmetric> {
  const through = await norm.timesCovariance(w)
  let trace = 0
  for (let i = 0; i < w.data.length; i++) trace += w.data[i] * through.data[i]
  return {
    n: w.rows,
    trace,
    apply: async (rows) => multiply(await multiply(rows, through), w, 'nt'),
    written: () => multiply(through, w, 'nt'),
  }
}

/** The same product with norms that are equal, pair by pair: what is trained or quantised later likes that. */
export function balanced({ u, v }: { readonly u: Matrix; readonly v: Matrix }): {
  readonly u: Matrix
  readonly v: Matrix
} {
  const rank = v.rows
  const [left, right] = [matrix(u.rows, rank), matrix(rank, v.columns)]
  for (let k = 0; k < rank; k++) {
    let [a, b] = [0, 0]
    for (let i = 0; i < u.rows; i++) a += u.data[i * rank + k] ** 2
    for (let j = 0; j < v.columns; j++) b += v.data[k * v.columns + j] ** 2
    const scale = a > 0 && b > 0 ? (b / a) ** 0.25 : 1
    for (let i = 0; i < u.rows; i++) left.data[i * rank + k] = u.data[i * rank + k] * scale
    for (let j = 0; j < v.columns; j++) right.data[k * v.columns + j] = v.data[k * v.columns + j] / scale
  }
  return { u: left, v: right }
}

async function factorsOf(
  layer: FactorLayer,
  { parts, rank, norms }: { parts: readonly Decomposed[]; rank: number; norms: readonly DataNorm[] | undefined },
): Promise<Factors> {
  const { groups, outputs, inputs, kernel } = layer
  const us: Matrix[] = []
  const vs: Matrix[] = []
  const lost: (Float64Array | undefined)[] = []
  const losses: Loss[] = []
  for (const [g, part] of parts.entries()) {
    const { u, v } = await part.factors(rank)
    us.push(u)
    vs.push(v)
    const back = await multiply(u, v)
    lost.push(lostMeans(part.matrix, back, norms?.[g]))
    losses.push(await lossOf(part.matrix, back, norms?.[g]))
  }
  const [first] = vs
  const all = kernel.map(() => true)
  return {
    factors: [
      { suffix: 'in', dims: [groups * first.rows, inputs, ...kernel], values: joined(vs), axes: all },
      { suffix: 'out', dims: [groups * outputs, first.rows, ...kernel], values: joined(us) },
    ],
    bias: joinedBias(lost),
    losses,
  }
}

/** The matrices of all groups one after the other, as a grouped convolution stores them. */
export function joined(parts: readonly Matrix[]): Float64Array {
  return concatenated(parts.map((p) => p.data))
}

export function joinedBias(parts: readonly (Float64Array | undefined)[]): Float64Array | undefined {
  return parts.every((p) => p !== undefined) ? concatenated(parts) : undefined
}

function concatenated(parts: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(parts.reduce((sum, p) => sum + p.length, 0))
  let at = 0
  for (const p of parts) {
    out.set(p, at)
    at += p.length
  }
  return out
}
