/**
 * Convolutions of two dimensions as two of one: down the rows, then along the columns (Jaderberg et al. 2014,
 * arXiv:1405.3866, scheme 2; Tai et al. 2016, arXiv:1511.06067). The kernel as a matrix, (inputs, height) x (outputs,
 * width), by its singular value decomposition; depthwise and grouped convolutions group by group, all with one rank.
 *
 * In the norm of the data the columns that the first convolution reads are whitened by their covariance, and the second one is what
 * predicts the layer's outputs best. A layer stays whole where the factors would not be cheaper.
 */
import { defineMethod } from '../method.ts'
import { type DataNorm, lossOf, lostMeans, refit } from './_data-norm.ts'
import { factorizeLayers, type Given } from './_factorize.ts'
import { type FactorLayer, type Factors, type Loss, macsOf, placesIn } from './_layers.ts'
import {
  gram,
  type Matrix,
  matrix,
  multiply,
  orthonormal,
  type Spectral,
  spectral,
  squareRoot,
  sumOfSquares,
} from './_matrix.ts'
import { chosenRank, layerOptions, type RankOptions, rankOptions, spectrumOf } from './_ranks.ts'
import { balanced, joined, joinedBias, matricesOf } from './svd.ts'

export const spatialSvd = defineMethod({
  id: 'spatial-svd',
  help: 'replaces each two-dimensional convolution by one along each axis, where that is cheaper; outputs change',
  data: 'calibration inputs, whose covariance says which errors show; without them the weights themselves are approximated',
  options: { ...rankOptions, ...layerOptions },
  run: (model, options, context) =>
    factorizeLayers(
      'spatial-svd',
      { model, options, context },
      {
        isFor: ({ kernel }) => kernel.length === 2 && Math.min(...kernel) > 1,
        kind: 'convolution higher and wider than 1',
        plan,
      },
    ),
})

async function plan(layer: FactorLayer, { norms, options, seed }: Given<RankOptions>) {
  const { groups, outputs, inputs, kernel, places, strides } = layer
  const [height, width] = kernel
  const [rows, columns] = [inputs * height, outputs * width]
  const full = Math.min(rows, columns)
  const perRank = groups * ((places.read / strides[0]) * rows + places.made * columns)
  const parts = await Promise.all(matricesOf(layer).map((w, g) => opened(layer, w, { norm: norms?.[g], seed })))
  const spectra = parts.map(({ kept, plain }) => ({
    plain: (count: number) => spectrumOf(plain, count, { rows, columns }),
    kept: (count: number) => spectrumOf(kept, count, { rows, columns }),
  }))
  // A parameter is used once per place: with one place of each kind the multiply-adds are the parameters.
  const costs = {
    macs: [macsOf(layer), perRank],
    parameters: [placesIn(kernel) * inputs * outputs, rows + columns],
  } as const
  const rank = await chosenRank(spectra, options, { full, costs })
  return { macs: rank * perRank, make: () => factorsOf(layer, { parts, rank, norms }) }
}

interface Opened {
  /** Outputs x (inputs, height, width). */
  readonly weights: Matrix
  /** (inputs, height) x (outputs, width). */
  readonly unfolded: Matrix
  /** L of the covariance L·Lᵀ of what the first convolution reads, in the norm of the data. */
  readonly root?: Matrix
  readonly plain: Spectral
  /** In the norm that is kept. */
  readonly kept: Spectral
}

async function opened(
  { outputs, inputs, kernel }: FactorLayer,
  weights: Matrix,
  { norm, seed }: { norm: DataNorm | undefined; seed: number },
): Promise<Opened> {
  const [height, width] = kernel
  const rows = inputs * height
  const unfolded = matrix(rows, outputs * width)
  for (let t = 0; t < outputs; t++)
    for (let r = 0; r < rows; r++)
      for (let j = 0; j < width; j++)
        unfolded.data[r * outputs * width + t * width + j] = weights.data[(t * rows + r) * width + j]
  const plain = spectral(gram(unfolded), seed)
  if (!norm) return { weights, unfolded, plain, kept: plain }
  const root = squareRoot(
    norm.marginal(
      rows,
      (c) => Math.floor(c / width),
      (c) => c % width,
    ),
  )
  const kept = spectral(gram(await multiply(root, unfolded, 'tn')), seed)
  return { weights, unfolded, root, plain, kept }
}

async function factorsOf(
  layer: FactorLayer,
  { parts, rank, norms }: { parts: readonly Opened[]; rank: number; norms: readonly DataNorm[] | undefined },
): Promise<Factors> {
  const { groups, outputs, inputs, kernel } = layer
  const [height, width] = kernel
  const found: { u: Matrix; v: Matrix }[] = []
  const lost: (Float64Array | undefined)[] = []
  const losses: Loss[] = []
  for (const [g, { weights, unfolded, root, kept }] of parts.entries()) {
    const vectors = await kept.basis(rank)
    const norm = norms?.[g]
    if (!norm || !root) {
      // (rank) x (outputs, width) as outputs x (rank, width).
      const second = await multiply(vectors, unfolded)
      const whole = sumOfSquares(unfolded.data)
      losses.push({ lost: whole - sumOfSquares(second.data), whole })
      found.push(balancedPair({ first: vectors, second: swappedPair(second, { outputs, width }), width }))
      continue
    }
    const first = await orthonormal(await gram(unfolded).apply(await multiply(vectors, root, 'nt')))
    const features = alongWidth(first, width)
    const { map } = await refit(weights, features, norm)
    const back = await multiply(map, features)
    lost.push(lostMeans(weights, back, norm))
    losses.push(await lossOf(weights, back, norm))
    found.push(balancedPair({ first, second: map, width }))
  }
  return {
    factors: [
      {
        suffix: 'down',
        dims: [groups * rank, inputs, height, 1],
        values: joined(found.map((f) => f.v)),
        axes: [true, false],
      },
      {
        suffix: 'along',
        dims: [groups * outputs, rank, 1, width],
        values: joined(found.map((f) => f.u)),
        axes: [false, true],
      },
    ],
    bias: lost.length > 0 ? joinedBias(lost) : undefined,
    losses,
  }
}

/** rank x (outputs, width) as outputs x (rank, width). */
function swappedPair({ rows: rank, data }: Matrix, { outputs, width }: { outputs: number; width: number }): Matrix {
  const out = matrix(outputs, rank * width)
  for (let k = 0; k < rank; k++)
    for (let t = 0; t < outputs; t++)
      for (let j = 0; j < width; j++) out.data[(t * rank + k) * width + j] = data[(k * outputs + t) * width + j]
  return out
}

/** Features of columns as features of whole patches: each place along the width by itself. */
function alongWidth({ rows, columns, data }: Matrix, width: number): Matrix {
  const out = matrix(rows * width, columns * width)
  for (let k = 0; k < rows; k++)
    for (let c = 0; c < columns; c++)
      for (let j = 0; j < width; j++)
        out.data[(k * width + j) * columns * width + c * width + j] = data[k * columns + c]
  return out
}

/** Both convolutions with equal norms for each of the channels between them. */
function balancedPair({ first, second, width }: { first: Matrix; second: Matrix; width: number }): {
  u: Matrix
  v: Matrix
} {
  const rank = first.rows
  const outputs = second.rows
  const tall = matrix(outputs * width, rank)
  for (let t = 0; t < outputs; t++)
    for (let k = 0; k < rank; k++)
      for (let j = 0; j < width; j++) tall.data[(t * width + j) * rank + k] = second.data[(t * rank + k) * width + j]
  const { u, v } = balanced({ u: tall, v: first })
  const back = matrix(outputs, rank * width)
  for (let t = 0; t < outputs; t++)
    for (let k = 0; k < rank; k++)
      for (let j = 0; j < width; j++) back.data[(t * rank + k) * width + j] = u.data[(t * width + j) * rank + k]
  return { u: back, v }
}
