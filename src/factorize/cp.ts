/**
 * Convolutions as three: 1x1 to the components, a depthwise kernel on each, 1x1 back: the canonical polyadic decomposition
 * W[t, s, k] ≈ Σ_r A[t, r] B[s, r] C[k, r] by alternating least squares (Lebedev et al. 2015, arXiv:1412.6553; with the places
 * of the kernel as one axis, Phan et al. 2020, arXiv:2008.05441).
 *
 * Components may grow without bound while they cancel each other (degeneracy): then the least squares are damped, more and
 * more, until √Σ‖a_r‖²‖b_r‖²‖c_r‖² is at most 4 ‖W‖, and where that does not help the layer stays whole and is named. In the norm of
 * the data input channels are whitened by their covariance while components are found, and A is then what predicts the layer's
 * outputs best. Grouped convolutions stay whole.
 */
import { defineMethod } from '../method.ts'
import type { OptionsOf } from '../options.ts'
import { random } from '../tensor/random.ts'
import { type DataNorm, lossOf, lostMeans, refit } from './_data-norm.ts'
import { factorizeLayers, type Given } from './_factorize.ts'
import { type FactorLayer, type Factors, macsOf, placesIn } from './_layers.ts'
import {
  gram,
  type Matrix,
  matrix,
  multiply,
  overSymmetric,
  permuted,
  spectral,
  squareRoot,
  sumOfSquares,
  transposed,
} from './_matrix.ts'
import { budgetOptions, layerOptions, withinShare } from './_ranks.ts'
import { matricesOf } from './svd.ts'

const options = {
  ranksBy: {
    type: 'choice',
    of: ['macs', 'parameters'],
    default: 'macs',
    onlyWith: { rank: 'not given' },
    help: 'what --share is a share of',
  },
  ...budgetOptions,
  iterations: {
    type: 'number',
    default: 100,
    min: 1,
    integer: true,
    help: 'most rounds of alternating least squares; it ends earlier once the error stays the same',
  },
  ...layerOptions,
} as const

type CpOptions = OptionsOf<typeof options>

export const cp = defineMethod({
  id: 'cp',
  help: 'replaces each convolution by three: 1x1, depthwise, 1x1 (CP decomposition); outputs change',
  data: 'calibration inputs, whose covariance says which errors show; without them the weights themselves are approximated',
  options,
  run: (model, options, context) =>
    factorizeLayers(
      'cp',
      { model, options, context },
      {
        isFor: ({ kernel, inputs }) => placesIn(kernel) > 1 && inputs > 1,
        kind: 'convolution larger than 1x1 of several channels',
        plan,
      },
    ),
})

async function plan(layer: FactorLayer, { norms, options, seed }: Given<CpOptions>) {
  // Groups are left whole below, so there is one norm at most.
  const norm = norms?.[0]
  const { groups, outputs, inputs, kernel, places } = layer
  if (groups > 1) return 'grouped convolutions have no components in common'
  const count = placesIn(kernel)
  const perRank = places.read * inputs + places.made * (count + outputs)
  // More components than this are never needed (Kruskal 1989).
  const full = Math.min(outputs * inputs, outputs * count, inputs * count)
  const costs = {
    macs: [macsOf(layer), perRank],
    parameters: [outputs * inputs * count, inputs + count + outputs],
  } as const
  const rank = Math.min(full, options.rank ?? withinShare(options, { full, cost: costs[options.ranksBy] }))
  return {
    macs: rank * perRank,
    make: () => factorsOf(layer, { rank, norm, iterations: options.iterations, seed }),
  }
}

/** Components as rows. */
interface Components {
  readonly outputs: Matrix
  readonly inputs: Matrix
  readonly places: Matrix
}

/** Of the components together over the kernel's norm: beyond it they cancel each other. */
const mostGrowth = 4
/** What the squared norm of A costs, as a share of what a component explains, one after the other. */
const dampings = [0, 1e-4, 1e-3, 1e-2, 1e-1]

async function factorsOf(
  layer: FactorLayer,
  { rank, norm, iterations, seed }: { rank: number; norm: DataNorm | undefined; iterations: number; seed: number },
): Promise<Factors | string> {
  const { outputs, inputs, kernel } = layer
  const count = placesIn(kernel)
  const [weights] = matricesOf(layer)
  const covariance = norm?.marginal(
    inputs,
    (c) => Math.floor(c / count),
    (c) => c % count,
  )
  const root = covariance && squareRoot(covariance)
  const unfolded = matrix(inputs, outputs * count, permuted(weights.data, [outputs, inputs, count], [1, 0, 2]))
  const byInput = root ? await multiply(root, unfolded, 'tn') : unfolded
  const found = await held(byInput, { dims: [outputs, inputs, count], rank, iterations, seed })
  if (!found) return 'its components grow without bound'
  // b of the whitened channels is Lᵀ b of the channels: b = L⁻ᵀ b' = C⁻¹ L b'.
  const read =
    root && covariance ? await overSymmetric(await multiply(found.inputs, root, 'nt'), covariance) : found.inputs
  const features = products(read, found.places)
  const made = norm ? transposed((await refit(weights, features, norm)).map) : found.outputs
  const components = even({ outputs: made, inputs: read, places: found.places })
  const back = transposed(components.outputs)
  const approximation = await multiply(back, products(components.inputs, components.places))
  const bias = norm && lostMeans(weights, approximation, norm)
  const ones = kernel.map(() => 1)
  return {
    factors: [
      { suffix: 'in', dims: [rank, inputs, ...ones], values: components.inputs.data },
      {
        suffix: 'core',
        dims: [rank, 1, ...kernel],
        values: components.places.data,
        axes: kernel.map(() => true),
        groups: rank,
      },
      { suffix: 'out', dims: [outputs, rank, ...ones], values: back.data },
    ],
    ...(bias ? { bias } : {}),
    losses: [await lossOf(weights, approximation, norm)],
  }
}

interface Search {
  /** Outputs, inputs, places. */
  readonly dims: readonly [number, number, number]
  readonly rank: number
  readonly iterations: number
  readonly seed: number
}

/** Components that do not cancel each other, with as little damping as that takes; undefined where none does. */
async function held(byInput: Matrix, search: Search): Promise<Components | undefined> {
  const norm = Math.sqrt(sumOfSquares(byInput.data))
  for (const damping of dampings) {
    const found = await alternating(byInput, search, damping)
    if (Math.sqrt(sumOfSquares(found.outputs.data)) <= mostGrowth * norm) return found
  }
  return undefined
}

/** Alternating least squares on the kernel as inputs x (outputs · places). Rows of inputs and places are unit vectors. */
async function alternating(
  byInput: Matrix,
  { dims: [outputs, inputs, count], rank, iterations, seed }: Search,
  damping: number,
): Promise<Components> {
  const dims = [inputs, outputs, count] as const
  const byOutput = matrix(outputs, inputs * count, permuted(byInput.data, dims, [1, 0, 2]))
  const byPlace = matrix(count, inputs * outputs, permuted(byInput.data, dims, [2, 0, 1]))
  const whole = sumOfSquares(byInput.data)
  let b = await started(byInput, rank, seed)
  let c = await started(byPlace, rank, seed + 1)
  let a = await solved(byOutput, [b, c], damping)
  for (let i = 0, before = Number.POSITIVE_INFINITY; i < iterations; i++) {
    b = unit(await solved(byInput, [a, c]))
    c = unit(await solved(byPlace, [b, a]))
    a = await solved(byOutput, [b, c], damping)
    // ‖W - Σ‖² = ‖W‖² - 2 <W, Σ> + ‖Σ‖², with the products that the next round needs anyway.
    const against = await multiply(products(b, c), byOutput, 'nt')
    const overlap = sumOf(a, against)
    const own = await multiply(a, a, 'nt')
    const error = whole - 2 * overlap + sumOf(own, grams([b, c]))
    if (before - error < 1e-4 * error || error < 1e-13 * whole) break
    before = error
  }
  return { outputs: a, inputs: b, places: c }
}

/** The leading singular vectors, and random unit vectors where the rank is larger. */
async function started(unfolded: Matrix, rank: number, seed: number): Promise<Matrix> {
  const vectors = await spectral(gram(unfolded), seed).basis(Math.min(rank, unfolded.rows))
  const out = matrix(rank, unfolded.rows)
  const rng = random(seed)
  for (let i = 0; i < out.data.length; i++) out.data[i] = rng.normal()
  out.data.set(vectors.data)
  return unit(out)
}

/** The factor of an unfolding's rows that is best with the other two given, with the order of axes in the unfolding. */
async function solved(unfolded: Matrix, others: readonly [Matrix, Matrix], damping = 0): Promise<Matrix> {
  const against = await multiply(unfolded, products(...others), 'nt')
  const square = grams(others)
  for (let r = 0; r < square.rows; r++) square.data[r * square.rows + r] *= 1 + damping
  return transposed(await overSymmetric(against, square))
}

/** Row by row the outer product, as one row. */
function products(left: Matrix, right: Matrix): Matrix {
  const [n, m] = [left.columns, right.columns]
  const out = matrix(left.rows, n * m)
  for (let r = 0; r < left.rows; r++)
    for (let i = 0; i < n; i++)
      for (let j = 0; j < m; j++) out.data[(r * n + i) * m + j] = left.data[r * n + i] * right.data[r * m + j]
  return out
}

/** The inner products of all pairs of components, of both factors multiplied. */
function grams([left, right]: readonly [Matrix, Matrix]): Matrix {
  const rank = left.rows
  const out = matrix(rank, rank)
  for (let r = 0; r < rank; r++)
    for (let s = 0; s <= r; s++) {
      const value = dot(left, r, s) * dot(right, r, s)
      out.data[r * rank + s] = value
      out.data[s * rank + r] = value
    }
  return out
}

function dot({ columns, data }: Matrix, r: number, s: number): number {
  let sum = 0
  for (let i = 0; i < columns; i++) sum += data[r * columns + i] * data[s * columns + i]
  return sum
}

const sumOf = (a: Matrix, b: Matrix): number => a.data.reduce((sum, v, i) => sum + v * b.data[i], 0)

function unit(m: Matrix): Matrix {
  const out = matrix(m.rows, m.columns, m.data.slice())
  for (let r = 0; r < m.rows; r++) {
    const norm = Math.sqrt(dot(m, r, r)) || 1
    for (let i = 0; i < m.columns; i++) out.data[r * m.columns + i] /= norm
  }
  return out
}

/** The same components with all three vectors of each of one norm. */
function even({ outputs, inputs, places }: Components): Components {
  const parts = [outputs, inputs, places].map((m) => ({ m, out: matrix(m.rows, m.columns, m.data.slice()) }))
  for (let r = 0; r < outputs.rows; r++) {
    const norms = parts.map(({ m }) => Math.sqrt(dot(m, r, r)))
    const all = norms[0] * norms[1] * norms[2]
    if (!(all > 0)) continue
    for (const [k, { m, out }] of parts.entries())
      for (let i = 0; i < m.columns; i++) out.data[r * m.columns + i] *= Math.cbrt(all) / norms[k]
  }
  const [a, b, c] = parts.map((p) => p.out)
  return { outputs: a, inputs: b, places: c }
}
