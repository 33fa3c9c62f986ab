/**
 * Convolutions as three: 1x1 to fewer channels, the kernel among those, 1x1 back (Tucker-2; Kim et al. 2015,
 * arXiv:1511.06530). The two channel bases are found by higher-order orthogonal iteration (De Lathauwer et al. 2000) from the
 * leading singular vectors of the kernel's unfoldings. Ranks: global analytic variational Bayes (Nakajima et al. 2013, JMLR
 * 14), a share of the squared norm, a share of the cost, or given.
 *
 * In the norm of the data (arXiv:2511.04494) input channels are whitened by their covariance while the bases are found; the core and
 * the last factor are then what predicts the layer's outputs best from the reduced inputs (reduced-rank regression).
 *
 * A factor that would keep all channels is left out where that is cheaper. A layer stays whole where the factors would not be
 * cheaper, so most 1x1 convolutions do: `svd` is for those. Grouped convolutions are factorised group by group, all with the
 * same ranks; depthwise ones stay.
 */
import { defineMethod } from '../method.ts'
import { type DataNorm, lossOf, lostMeans, refit } from './_data-norm.ts'
import { factorizeLayers, type Given } from './_factorize.ts'
import { type Factor, type FactorLayer, type Factors, type Loss, macsOf, placesIn } from './_layers.ts'
import {
  dense,
  gram,
  type Matrix,
  matrix,
  multiply,
  orthonormal,
  permuted,
  type Spectral,
  spectral,
  squareRoot,
  sumOfSquares,
  transposed,
} from './_matrix.ts'
import { layerOptions, type RankOptions, rankByRule, rankOptions, spectrumOf, toMultiple } from './_ranks.ts'
import { joined, joinedBias, matricesOf, outputCovariance } from './svd.ts'

export const tucker = defineMethod({
  id: 'tucker',
  help: 'replaces each convolution by three, of which the middle one has its kernel and fewer channels (Tucker-2), where that is cheaper; outputs change',
  data: 'calibration inputs, whose covariance says which errors show; without them the weights themselves are approximated',
  options: {
    ...rankOptions,
    inputRank: {
      type: 'number',
      optional: true,
      min: 1,
      integer: true,
      help: 'the input rank of every layer, in place of `rank`',
    },
    iterations: {
      type: 'number',
      default: 50,
      min: 0,
      integer: true,
      help: 'most rounds of orthogonal iteration; it ends earlier once the error stays the same',
    },
    ...layerOptions,
  },
  run: (model, options, context) =>
    factorizeLayers(
      'tucker',
      { model, options, context },
      {
        isFor: ({ kernel, outputs, inputs }) => placesIn(kernel) > 1 && outputs > 1 && inputs > 1,
        kind: 'convolution larger than 1x1 of several channels',
        plan,
      },
    ),
})

interface TuckerOptions extends RankOptions {
  readonly inputRank: number | undefined
  readonly iterations: number
  readonly onlyCheaper: boolean
}

/** Ranks of the input and output channels; a side without one keeps its channels and has no factor. */
interface Ranks {
  readonly input?: number
  readonly output?: number
}

/** Multiply-adds with factors of these ranks. */
function macsWith({ groups, outputs, inputs, kernel, places }: FactorLayer, { input, output }: Ranks): number {
  const first = input ? places.read * inputs * input : 0
  const last = output ? places.made * output * outputs : 0
  return groups * (first + places.made * (input ?? inputs) * (output ?? outputs) * placesIn(kernel) + last)
}

async function plan(layer: FactorLayer, { norms, options, seed }: Given<TuckerOptions>) {
  const parts = await Promise.all(matricesOf(layer).map((w, g) => opened(layer, w, { norm: norms?.[g], seed })))
  const wanted = await chosenRanks(layer, parts, options)
  // Keeping all channels on a side loses less, and costs less where the rank is nearly full.
  const ways = options.onlyCheaper ? [wanted, { output: wanted.output }, { input: wanted.input }] : [wanted]
  const ranks = ways.reduce((a, b) => (macsWith(layer, b) <= macsWith(layer, a) ? b : a))
  return { macs: macsWith(layer, ranks), make: () => factorsOf(layer, { parts, ranks, norms, options }) }
}

/** A group's kernel with the bases of its unfoldings. */
interface Opened {
  /** Outputs x (inputs · places). */
  readonly weights: Matrix
  /** The same in the norm in which bases are looked for, and with its inputs as rows: inputs x (outputs · places). */
  readonly whitened: Matrix
  readonly byInput: Matrix
  /** L of the input channels' covariance L·Lᵀ, in the norm of the data. */
  readonly root?: Matrix
  /** The unfoldings' singular vectors, of the whitened kernel and of the kernel itself. */
  readonly bases: Sides
  readonly plain: Sides
}

interface Sides {
  readonly input: Spectral
  readonly output: Spectral
}

async function opened(
  layer: FactorLayer,
  weights: Matrix,
  { norm, seed }: { norm: DataNorm | undefined; seed: number },
): Promise<Opened> {
  const { outputs, inputs, kernel } = layer
  const count = placesIn(kernel)
  const basesOf = (byOutput: Matrix, byInput: Matrix): Sides => ({
    output: spectral(gram(byOutput), seed),
    input: spectral(gram(byInput), seed),
  })
  const byInput = inputUnfolding(weights, inputs, count)
  const plain = basesOf(weights, byInput)
  if (!norm) return { weights, whitened: weights, byInput, bases: plain, plain }
  const root = squareRoot(
    norm.marginal(
      inputs,
      (c) => Math.floor(c / count),
      (c) => c % count,
    ),
  )
  const unfolded = await multiply(root, byInput, 'tn')
  const whitened = matrix(outputs, inputs * count, permuted(unfolded.data, [inputs, outputs, count], [1, 0, 2]))
  return { weights, whitened, byInput: unfolded, root, bases: basesOf(whitened, unfolded), plain }
}

/** Inputs x (outputs · places) of a kernel outputs x (inputs · places). */
function inputUnfolding({ rows, data }: Matrix, inputs: number, count: number): Matrix {
  return matrix(inputs, rows * count, permuted(data, [rows, inputs, count], [1, 0, 2]))
}

async function chosenRanks(
  layer: FactorLayer,
  parts: readonly Opened[],
  options: TuckerOptions,
): Promise<Required<Ranks>> {
  const { outputs, inputs, kernel } = layer
  const { rank, inputRank, ranksBy, energy, multiple } = options
  if (rank !== undefined || inputRank !== undefined)
    return { input: Math.min(inputs, inputRank ?? rank ?? inputs), output: Math.min(outputs, rank ?? outputs) }
  if (ranksBy === 'macs' || ranksBy === 'parameters') return ranksWithin(layer, parts, options)
  const places = placesIn(kernel)
  const rankOf = async (side: 'input' | 'output'): Promise<number> => {
    const [full, others] = side === 'input' ? [inputs, outputs] : [outputs, inputs]
    const found = []
    for (const { plain, bases } of parts) {
      const sizes = { rows: full, columns: others * places }
      // What both sides lose adds up, at most: each may lose half.
      const kept = 1 - (1 - energy) / 2
      const spectra = {
        plain: (count: number) => spectrumOf(plain[side], count, sizes),
        kept: (count: number) => spectrumOf(bases[side], count, sizes),
      }
      found.push(await rankByRule(spectra, options, { most: full, full, energy: kept }))
    }
    return toMultiple(Math.max(...found), multiple, full)
  }
  return { input: await rankOf('input'), output: await rankOf('output') }
}

/** The ranks within a share of the cost that lose least, as the spectra of both sides say. */
async function ranksWithin(
  layer: FactorLayer,
  parts: readonly Opened[],
  options: TuckerOptions,
): Promise<Required<Ranks>> {
  const { outputs, inputs } = layer
  const { share, ranksBy, multiple } = options
  // A parameter of a factor is used once per place: with one place of each kind the multiply-adds are the parameters.
  const counted = ranksBy === 'macs' ? layer : { ...layer, places: { read: 1, made: 1 } }
  // A full rank stands for a side that is left whole.
  const cost = ({ input, output }: Required<Ranks>): number =>
    macsWith(counted, {
      ...(input < inputs ? { input } : {}),
      ...(output < outputs ? { output } : {}),
    })
  const most = share * macsOf(counted)
  const tails = async (side: 'input' | 'output', full: number): Promise<Float64Array> => {
    const lost = new Float64Array(full + 1)
    for (const { bases } of parts) {
      const values = await bases[side].values(full)
      for (let r = values.length - 1, sum = 0; r >= 0; r--) lost[r] += sum += values[r]
    }
    return lost
  }
  const [lostInput, lostOutput] = [await tails('input', inputs), await tails('output', outputs)]
  const steps = (full: number): number[] => [
    ...Array.from({ length: Math.ceil(full / multiple) - 1 }, (_, i) => (i + 1) * multiple),
    full,
  ]
  let best = { input: Math.min(multiple, inputs), output: Math.min(multiple, outputs) }
  let least = Number.POSITIVE_INFINITY
  for (const input of steps(inputs))
    for (const output of steps(outputs)) {
      const lost = lostInput[input] + lostOutput[output]
      if (lost >= least || cost({ input, output }) > most) continue
      least = lost
      best = { input, output }
    }
  return best
}

/** A kernel as its factors: W ≈ last · core · first. */
interface Tucker {
  /** Input rank x inputs. */
  readonly first?: Matrix
  /** Output rank x (input rank · places). */
  readonly core: Matrix
  /** Outputs x output rank. */
  readonly last?: Matrix
}

/** The bases by orthogonal iteration: rows span the channels that are kept. A side without a rank has none. */
async function orthogonalIteration(
  { whitened, byInput, bases }: Opened,
  { ranks, inputs, iterations }: { ranks: Ranks; inputs: number; iterations: number },
): Promise<{ input?: Matrix; output?: Matrix }> {
  const places = whitened.columns / inputs
  const outputs = whitened.rows
  // With one side whole the leading vectors of the other are the answer.
  if (!ranks.input || !ranks.output)
    return {
      ...(ranks.input ? { input: await bases.input.basis(ranks.input) } : {}),
      ...(ranks.output ? { output: await bases.output.basis(ranks.output) } : {}),
    }
  let input = await bases.input.basis(ranks.input)
  let output = await bases.output.basis(ranks.output)
  const whole = sumOfSquares(whitened.data)
  for (let i = 0, kept = 0; i < iterations; i++) {
    // Each side's best basis is that of the kernel as the other side lets it through; subspace iteration nears it.
    const narrow = permuted((await multiply(input, byInput)).data, [input.rows, outputs, places], [1, 0, 2])
    output = await nearer(output, matrix(outputs, input.rows * places, narrow))
    const short = inputUnfolding(await multiply(output, whitened), inputs, places)
    input = await nearer(input, short)
    const now = sumOfSquares((await multiply(input, short)).data)
    if (now - kept < 1e-4 * whole) break
    kept = now
  }
  return { input, output }
}

/** Two steps of subspace iteration towards the leading left singular vectors of a matrix. */
async function nearer(basis: Matrix, of: Matrix): Promise<Matrix> {
  const square = dense(await multiply(of, of, 'nt'))
  return orthonormal(await square.apply(await orthonormal(await square.apply(basis))))
}

async function tuckerOf(
  part: Opened,
  { ranks, inputs, norm, iterations }: { ranks: Ranks; inputs: number; norm: DataNorm | undefined; iterations: number },
): Promise<Tucker> {
  const { weights, root } = part
  const places = weights.columns / inputs
  const { input, output } = await orthogonalIteration(part, { ranks, inputs, iterations })
  const short = output ? await multiply(output, weights) : weights
  if (!norm || !root) {
    if (!input) return { core: short, ...(output ? { last: transposed(output) } : {}) }
    const narrow = await multiply(input, inputUnfolding(short, inputs, places))
    const core = matrix(
      short.rows,
      input.rows * places,
      permuted(narrow.data, [input.rows, short.rows, places], [1, 0, 2]),
    )
    return { first: input, core, ...(output ? { last: transposed(output) } : {}) }
  }
  // What the whitened basis stands for among the channels themselves: with G = A·Aᵀ of the unfolding, L⁻ᵀ u is G L u over
  // the eigenvalue of u, for which only the span matters.
  if (!input) {
    const directions = await spectral(await outputCovariance(weights, norm), 0).basis(short.rows)
    return { core: await multiply(directions, weights), last: transposed(directions) }
  }
  const lifted = await gram(inputUnfolding(short, inputs, places)).apply(await multiply(input, root, 'nt'))
  const first = await orthonormal(lifted)
  const { map, covariance } = await refit(weights, spread(first, places), norm)
  if (!output) return { first, core: map }
  const predicted = dense(await multiply(await multiply(map, covariance), map, 'nt'))
  const directions = await spectral(predicted, 0).basis(output.rows)
  return { first, core: await multiply(directions, map), last: transposed(directions) }
}

/** A matrix on channels as one on channels and places: each place by itself. */
function spread({ rows, columns, data }: Matrix, places: number): Matrix {
  const out = matrix(rows * places, columns * places)
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++)
      for (let k = 0; k < places; k++)
        out.data[(r * places + k) * columns * places + c * places + k] = data[r * columns + c]
  return out
}

async function factorsOf(
  layer: FactorLayer,
  {
    parts,
    ranks,
    norms,
    options,
  }: { parts: readonly Opened[]; ranks: Ranks; norms: readonly DataNorm[] | undefined; options: TuckerOptions },
): Promise<Factors> {
  const { groups, outputs, inputs, kernel } = layer
  const places = placesIn(kernel)
  const found: Tucker[] = []
  const lost: (Float64Array | undefined)[] = []
  const losses: Loss[] = []
  for (const [g, part] of parts.entries()) {
    const norm = norms?.[g]
    const made = await tuckerOf(part, { ranks, inputs, norm, iterations: options.iterations })
    found.push(made)
    if (!norm) {
      // The bases are orthonormal, so the core has the norm of what is kept.
      const whole = sumOfSquares(part.weights.data)
      losses.push({ lost: whole - sumOfSquares(made.core.data), whole })
      continue
    }
    const narrow = made.last ? await multiply(made.last, made.core) : made.core
    const back = made.first ? await multiply(narrow, spread(made.first, places)) : narrow
    lost.push(lostMeans(part.weights, back, norm))
    losses.push(await lossOf(part.weights, back, norm))
  }
  const ones = kernel.map(() => 1)
  const { input = inputs, output = outputs } = ranks
  const factor = (suffix: string, of: (t: Tucker) => Matrix | undefined, dims: readonly number[]): Factor[] => {
    const parts = found.flatMap((t) => of(t) ?? [])
    return parts.length > 0 ? [{ suffix, dims, values: joined(parts) }] : []
  }
  return {
    factors: [
      ...factor('in', (t) => t.first, [groups * input, inputs, ...ones]),
      ...factor('core', (t) => t.core, [groups * output, input, ...kernel]).map((f) => ({
        ...f,
        axes: kernel.map(() => true),
      })),
      ...factor('out', (t) => t.last, [groups * outputs, output, ...ones]),
    ],
    bias: lost.length > 0 ? joinedBias(lost) : undefined,
    losses,
  }
}
