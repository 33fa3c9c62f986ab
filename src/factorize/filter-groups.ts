/**
 * Convolutions as filters that each see one group of the input channels, and a 1x1 convolution that mixes what they make: root
 * modules (Ioannou et al. 2016, arXiv:1605.06489), which are trained from the start there. Here the filters and the mixture come
 * from the layer's own weights: of each group of input channels its part of the kernel, outputs x (inputs of the group · places),
 * by its singular value decomposition, all groups with one rank. At full rank nothing is lost.
 *
 * In the hierarchy of the paper the deeper a layer, the fewer its groups: half as many with each smaller size of maps. The number of groups is the
 * largest below that which divides the channels.
 *
 * In the norm of the data each group's filters span the leading principal components of what the group adds to the outputs, and the
 * mixture is what predicts the outputs best from all filters together. A layer stays whole where the factors would not be cheaper.
 */
import { defineMethod } from '../method.ts'
import { type DataNorm, lossOf, lostMeans, refit } from './_data-norm.ts'
import { factorizeLayers, type Given } from './_factorize.ts'
import { type FactorLayer, type Factors, macsOf, placesIn } from './_layers.ts'
import { gram, type Matrix, matrix, multiply, type Spectral, spectral, transposed } from './_matrix.ts'
import { chosenRank, layerOptions, type RankOptions, rankOptions, spectrumOf } from './_ranks.ts'
import { balanced, matricesOf, outputCovariance } from './svd.ts'

export const filterGroups = defineMethod({
  id: 'filter-groups',
  help: 'replaces each convolution by one whose filters see a group of the input channels each, and a 1x1 convolution, where that is cheaper; outputs change',
  data: 'calibration inputs, whose covariance says which errors show; without them the weights themselves are approximated',
  options: {
    groups: { type: 'number', default: 4, min: 2, integer: true, help: 'groups of input channels' },
    hierarchy: {
      type: 'boolean',
      default: true,
      help: 'half as many groups, at least two, with each smaller size of maps; else all layers have as many',
    },
    ...rankOptions,
    ...layerOptions,
  },
  run: (model, options, context) =>
    factorizeLayers(
      'filter-groups',
      { model, options, context },
      {
        isFor: ({ kernel, groups, inputs, outputs }) =>
          groups === 1 && placesIn(kernel) > 1 && Math.min(inputs, outputs) > 1,
        kind: 'convolution without groups, larger than 1x1, of several channels',
        plan,
      },
    ),
})

interface GroupOptions extends RankOptions {
  readonly groups: number
  readonly hierarchy: boolean
}

async function plan(layer: FactorLayer, { norms, options, seed, layers }: Given<GroupOptions>) {
  const { outputs, inputs, kernel, places } = layer
  const groups = groupsOf(layer, layers, options)
  if (groups < 2) return 'no number of groups up to that asked for divides its input channels'
  const [weights] = matricesOf(layer)
  const norm = norms?.[0]
  const columns = (inputs / groups) * placesIn(kernel)
  const parts: Part[] = []
  for (let g = 0; g < groups; g++) parts.push(await opened(weights, { from: g * columns, columns, norm, seed }))
  const perRank = groups * (columns + outputs)
  const costs = {
    macs: [macsOf(layer), places.made * perRank],
    parameters: [outputs * weights.columns, perRank],
  } as const
  const full = Math.min(outputs, columns)
  const spectra = parts.map(({ plain, kept }) => ({
    plain: (count: number) => spectrumOf(plain, count, { rows: outputs, columns }),
    kept: (count: number) => spectrumOf(kept, count, { rows: outputs, columns }),
  }))
  const rank = await chosenRank(spectra, options, { full, costs })
  return { macs: rank * places.made * perRank, make: () => factorsOf(layer, { weights, parts, rank, norm }) }
}

/** How many groups a layer's input channels fall into: 1 where no number that is asked for divides them. */
function groupsOf({ inputs, places }: FactorLayer, layers: readonly FactorLayer[], options: GroupOptions): number {
  const larger = new Set(layers.map((l) => l.places.made).filter((made) => made > places.made))
  const wanted = options.hierarchy ? Math.max(2, Math.floor(options.groups / 2 ** larger.size)) : options.groups
  let groups = Math.min(wanted, inputs)
  while (inputs % groups !== 0) groups--
  return groups
}

/** A group of a layer's input channels. */
interface Part {
  /** Its part of the kernel among all inputs, which are 0 elsewhere. */
  readonly padded: Matrix
  /** The directions among outputs: of its part of the kernel, and in the norm that is kept. */
  readonly plain: Spectral
  readonly kept: Spectral
}

interface Place {
  readonly from: number
  readonly columns: number
  readonly norm: DataNorm | undefined
  readonly seed: number
}

async function opened(weights: Matrix, { from, columns, norm, seed }: Place): Promise<Part> {
  const own = matrix(weights.rows, columns)
  const padded = matrix(weights.rows, weights.columns)
  for (let r = 0; r < weights.rows; r++) {
    const row = weights.data.subarray(r * weights.columns + from, r * weights.columns + from + columns)
    own.data.set(row, r * columns)
    padded.data.set(row, r * weights.columns + from)
  }
  const plain = spectral(gram(own), seed)
  return { padded, plain, kept: norm ? spectral(await outputCovariance(padded, norm), seed) : plain }
}

async function factorsOf(
  { outputs, inputs, kernel }: FactorLayer,
  { weights, parts, rank, norm }: { weights: Matrix; parts: readonly Part[]; rank: number; norm: DataNorm | undefined },
): Promise<Factors> {
  const groups = parts.length
  const count = groups * rank
  // 1. The filters of all groups, and how each group alone would be mixed.
  const features = matrix(count, weights.columns)
  const directions = matrix(count, outputs)
  for (const [g, { padded, kept }] of parts.entries()) {
    const own = await kept.basis(rank)
    directions.data.set(own.data, g * rank * outputs)
    features.data.set((await multiply(own, padded)).data, g * rank * weights.columns)
  }
  // 2. Together, by data, groups that go together can stand in for each other.
  const map = norm ? (await refit(weights, features, norm)).map : transposed(directions)
  const { u, v } = balanced({ u: map, v: features })
  // 3. A filter is stored with the channels of its group alone.
  const columns = weights.columns / groups
  const filters = new Float64Array(count * columns)
  for (let f = 0; f < count; f++) {
    const from = f * weights.columns + Math.floor(f / rank) * columns
    filters.set(v.data.subarray(from, from + columns), f * columns)
  }
  const back = await multiply(u, v)
  return {
    factors: [
      {
        suffix: 'groups',
        dims: [count, inputs / groups, ...kernel],
        values: filters,
        axes: kernel.map(() => true),
        groups,
      },
      { suffix: 'out', dims: [outputs, count, ...kernel.map(() => 1)], values: u.data },
    ],
    bias: lostMeans(weights, back, norm),
    losses: [await lossOf(weights, back, norm)],
  }
}
