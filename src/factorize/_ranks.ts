/** How ranks are chosen: options that all factorisations have, and the rules behind them. */
import type { OptionsOf, OptionTable } from '../options.ts'
import { evbmfRank, type Spectrum } from './_evbmf.ts'
import type { Spectral } from './_matrix.ts'

export const layerOptions = {
  only: { type: 'strings', default: [], help: 'names of weights to factorise (default: all)' },
  exclude: { type: 'strings', default: [], help: 'names of weights to leave alone' },
  norm: {
    type: 'choice',
    of: ['data', 'weights'],
    default: 'data',
    help: 'what is kept: outputs on calibration data, or the weights themselves; without data it is the weights',
  },
  vectors: {
    type: 'number',
    default: 8192,
    min: 1,
    integer: true,
    onlyWith: { norm: ['data'], data: 'given' },
    help: 'input vectors per layer whose covariance the norm of the data is computed from',
  },
  onlyCheaper: {
    type: 'boolean',
    default: true,
    help: 'leaves a layer as it is where its factors would need as many multiply-adds',
  },
  measure: {
    type: 'boolean',
    default: false,
    help: 'times each layer beside its factors in ONNX Runtime, and leaves it as it is where they are not measurably faster',
  },
} as const satisfies OptionTable

/** Ranks that are given take the place of rules. */
const byRule = { rank: 'not given', inputRank: 'not given' } as const

export const budgetOptions = {
  share: {
    type: 'number',
    default: 0.5,
    min: 1e-6,
    max: 1,
    onlyWith: byRule,
    help: "share of a layer's multiply-adds or parameters that its factors may have, with ranks by macs or parameters",
  },
  rank: { type: 'number', optional: true, min: 1, integer: true, help: 'the rank of every layer, in place of a rule' },
  multiple: {
    type: 'number',
    default: 1,
    min: 1,
    integer: true,
    onlyWith: byRule,
    help: 'ranks are rounded up to a multiple of this',
  },
} as const satisfies OptionTable

export const rankOptions = {
  ranksBy: {
    type: 'choice',
    of: ['vbmf', 'energy', 'macs', 'parameters'],
    default: 'vbmf',
    onlyWith: byRule,
    help: 'the rule that chooses ranks: variational Bayes, a share of the squared norm, or a share of the cost',
  },
  energy: {
    type: 'number',
    default: 0.9,
    min: 1e-6,
    max: 1,
    onlyWith: { ranksBy: ['energy'], ...byRule },
    help: 'share of the squared norm that is kept, with ranks by energy',
  },
  weakening: {
    type: 'number',
    default: 1,
    min: 0,
    max: 1,
    onlyWith: { ranksBy: ['vbmf'], ...byRule },
    help: 'with ranks by vbmf: how far to go from full rank to the rank that the rule gives; 1: all the way (MUSCO, arXiv:1903.09973)',
  },
  ...budgetOptions,
  share: { ...budgetOptions.share, onlyWith: { ranksBy: ['macs', 'parameters'], ...byRule } },
} as const satisfies OptionTable

export type RankOptions = OptionsOf<typeof rankOptions>

/** The squared singular values of one group of a layer, as they are found: the first `count`, or all. */
export interface Spectra {
  /** Of the matrix itself: for variational Bayes, which takes its noise for alike everywhere. */
  plain(count: number): Promise<Spectrum>
  /** Of the matrix in the norm that is kept. */
  kept(count: number): Promise<Spectrum>
}

/** The spectrum of a rows x columns matrix, of one of its Gram matrices, or of that in another norm. */
export async function spectrumOf(
  of: Spectral,
  count: number,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): Promise<Spectrum> {
  const [l, m] = [Math.min(rows, columns), Math.max(rows, columns)]
  return { squares: (await of.values(count)).subarray(0, l), total: of.trace, l, m }
}

/** What a layer costs, and what its factors cost per rank, by what is counted. */
export type Costs = Readonly<Record<'macs' | 'parameters', readonly [whole: number, perRank: number]>>

/** The rank of all groups of a layer, as the options say; at least 1. One that would not be cheaper may be any of those. */
export async function chosenRank(
  groups: readonly Spectra[],
  options: RankOptions,
  { full, costs }: { readonly full: number; readonly costs: Costs },
): Promise<number> {
  const { rank, ranksBy, energy, multiple } = options
  if (rank !== undefined) return Math.min(full, rank)
  if (ranksBy === 'macs' || ranksBy === 'parameters') return withinShare(options, { full, cost: costs[ranksBy] })
  // No more is looked for than the least rank which costs as much as the layer.
  const most = Math.min(full, Math.ceil(costs.macs[0] / costs.macs[1]))
  const ranks = []
  for (const spectra of groups) ranks.push(await rankByRule(spectra, options, { most, full, energy }))
  return toMultiple(Math.max(...ranks), multiple, full)
}

/** The largest rank, a multiple if asked, that costs at most a share of the layer. */
export function withinShare(
  { share, multiple }: { readonly share: number; readonly multiple: number },
  { full, cost: [whole, perRank] }: { readonly full: number; readonly cost: readonly [number, number] },
): number {
  return Math.min(full, Math.max(multiple, Math.floor((share * whole) / perRank / multiple) * multiple))
}

/** Singular values that are computed at first, a quarter of them within these bounds; as many again while the rule wants more. */
const firstCount = { least: 32, most: 192 }

/** The rank by `vbmf` or `energy`, 1 to `most`; one that is larger is given as `most`. `energy`: the share that is kept. */
export async function rankByRule(
  spectra: Spectra,
  { ranksBy, weakening }: Pick<RankOptions, 'ranksBy' | 'weakening'>,
  { most, full, energy }: { readonly most: number; readonly full: number; readonly energy: number },
): Promise<number> {
  const first = Math.max(firstCount.least, Math.min(firstCount.most, Math.ceil(full / 4)))
  for (let count = Math.min(most, first); ; count = Math.min(most, 2 * count)) {
    const spectrum = ranksBy === 'vbmf' ? await spectra.plain(count) : await spectra.kept(count)
    const found = ranksBy === 'vbmf' ? evbmfRank(spectrum) : rankOfEnergy(spectrum, energy)
    const isAll = spectrum.squares.length >= spectrum.l
    if (!isAll && count < most && found >= spectrum.squares.length - 1) continue
    if (ranksBy !== 'vbmf') return Math.min(most, Math.max(1, found))
    return Math.min(most, Math.max(1, Math.round(full - weakening * (full - found))))
  }
}

/** The smallest rank that keeps a share of the squared norm; one more than there are values where these do not. */
export function rankOfEnergy({ squares, total }: Spectrum, energy: number): number {
  let sum = 0
  for (let i = 0; i < squares.length; i++) {
    sum += squares[i]
    // Rounding must not ask for one more.
    if (sum >= energy * total * (1 - 1e-12)) return i + 1
  }
  return squares.length + 1
}

/** Rounded up, at most the full rank. */
export const toMultiple = (rank: number, multiple: number, full: number): number =>
  Math.min(full, Math.ceil(rank / multiple) * multiple)
