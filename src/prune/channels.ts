/**
 * Coupled channels removed: the lowest-scoring ones are removed from every tensor that counts them, so that the network
 * becomes smaller and faster without a sparse format. DepGraph (Fang et al. 2023, arXiv:2301.12900); filters by norm: Li et
 * al. 2017, arXiv:1608.08710; by the loss's gradient: Molchanov et al. 2019, arXiv:1906.10771.
 *
 * A unit is one channel with all that residuals, concatenations, splits, shuffles, depthwise and grouped convolutions tie
 * it to. Its score is the mean over all weights that make it (for magnitude the root of the mean square, for the L2 norm),
 * divided by the mean over its group, so that groups compare. Of each group round(sparsity * units) are removed, or of all
 * groups together; what an input, an output or an operator without a rule needs is kept, and a warning names it.
 *
 * Outputs change: the network is to be trained afterwards. `remove-dead` removes what does not matter.
 */

import { type ChannelGroup, type OpenedChannels, openChannels } from '../channels/channel-groups.ts'
import { didYouMean } from '../errors.ts'
import { type WeightTensor, weightTensors } from '../graph/weights.ts'
import { type Context, defineMethod } from '../method.ts'
import { checkOptions } from '../options.ts'
import { type Score, smallest } from './_select.ts'
import { addSizes, along, type Pool } from './_units.ts'
import { lampScores } from './lamp.ts'
import { magnitude, magnitudeScores } from './magnitude.ts'
import { obd, obdScores } from './obd.ts'
import { obs, obsScores } from './obs.ts'
import { taylor, taylorScores } from './taylor.ts'

export const channels = defineMethod({
  id: 'channels',
  help: 'removes the least important channels with everything coupled to them: tensors shrink, and outputs change',
  data: 'what scores are computed from: labelled samples for taylor and obd, inputs for obs; without any, weights are ranked by size',
  options: {
    sparsity: { type: 'number', default: 0.3, min: 0, max: 1, help: 'share of the channels that are removed' },
    scope: {
      type: 'choice',
      of: ['group', 'global'],
      default: 'group',
      help: 'whether channels are ranked within each group of coupled layers or all together',
    },
    score: {
      type: 'choice',
      of: ['magnitude', 'lamp', 'taylor', 'obd', 'obs'],
      default: 'magnitude',
      help: 'how weights are ranked for removal',
    },
    exclude: {
      type: 'strings',
      default: [],
      help: 'names of weights whose group keeps all its channels, as `coppice inspect --groups` lists them',
    },
    keep: {
      type: 'strings',
      default: [],
      help: 'channels to keep, each as GROUP:INDEX, the index counting from 0',
    },
    minChannels: { type: 'number', default: 1, min: 1, integer: true, help: 'channels that each group keeps at least' },
    multiple: {
      type: 'number',
      default: 1,
      min: 1,
      integer: true,
      help: 'the number of channels that a group keeps is rounded up to a multiple of this',
    },
  },
  async run(model, options, context) {
    const opened = openChannels(model)
    const vetoed = vetoes(opened.groups, options)
    const open = opened.groups.filter((g) => vetoed.get(g)?.size !== g.units)
    warnOfHeld(opened.groups, context)
    if (open.length === 0) {
      context.warn?.(
        'channels: nothing was removed: no layer with plain float32 weights has channels that can be removed',
      )
      return model
    }
    const scores = await unitScores(opened, open, options.score as ScoreId, context)
    return opened.without(chosen(opened, open, { ...options, scores, vetoed }))
  },
})

type ScoreId = 'magnitude' | 'lamp' | 'taylor' | 'obd' | 'obs'

/** Each score with the defaults of its method. */
const scoreOf: Readonly<Record<ScoreId, Score<never>>> = {
  magnitude: (c, _, context) => magnitudeScores(c, checkOptions(magnitude.id, magnitude.options), context),
  lamp: lampScores,
  taylor: (c, _, context) => taylorScores(c, checkOptions(taylor.id, taylor.options), context),
  obd: (c, _, context) => obdScores(c, checkOptions(obd.id, obd.options), context),
  obs: (c, _, context) => obsScores(c, checkOptions(obs.id, obs.options), context),
}

/** The units of each group that have to stay: held by the graph, or named by the caller. */
function vetoes(
  groups: readonly ChannelGroup[],
  { exclude, keep }: { readonly exclude: readonly string[]; readonly keep: readonly string[] },
): Map<ChannelGroup, Set<number>> {
  const stays = new Map(groups.map((g) => [g, new Set(g.held.keys())]))
  const tensors = new Set(groups.flatMap((g) => g.members.map((m) => m.tensor)))
  for (const name of exclude) {
    if (!tensors.has(name))
      throw new Error(`channels: exclude names "${name}", which counts no channels${didYouMean(name, tensors)}`)
    for (const [g, set] of stays)
      if (g.members.some((m) => m.tensor === name && m.role !== 'reads')) for (let u = 0; u < g.units; u++) set.add(u)
  }
  for (const text of keep) {
    const at = text.lastIndexOf(':')
    const [name, unit] = [text.slice(0, at), Number(text.slice(at + 1))]
    const group = groups.find((g) => g.name === name)
    if (at < 1 || !group || !(Number.isInteger(unit) && unit >= 0 && unit < group.units))
      throw new Error(
        `channels: keep "${text}" is no channel of a group; expected GROUP:INDEX${group ? ` with an index below ${group.units}` : didYouMean(name, new Set(groups.map((g) => g.name)))}`,
      )
    stays.get(group)?.add(unit)
  }
  return stays
}

/** Says which groups stay as they are, and what needs them; those that make the network's outputs go without saying. */
function warnOfHeld(groups: readonly ChannelGroup[], context: Context): void {
  const whys = new Map<string, string[]>()
  for (const g of groups) {
    const why = [...g.held.values()].find((w) => !/ is an (in|out)put$/.test(w))
    if (why) whys.set(why, [...(whys.get(why) ?? []), `"${g.name}" (${g.held.size} of ${g.units})`])
  }
  for (const [why, names] of whys) {
    const more = names.length > 5 ? ` and ${names.length - 5} more` : ''
    context.warn?.(`channels: these stay, as ${why}: ${names.slice(0, 5).join(', ')}${more}`)
  }
}

/** For each group a score per unit: the mean over the weights that make it, over the group's mean. */
async function unitScores(
  { model }: OpenedChannels,
  groups: readonly ChannelGroup[],
  id: ScoreId,
  context: Context,
): Promise<Float32Array[]> {
  const makers = new Set(groups.flatMap((g) => g.members.flatMap((m) => (m.role === 'makes' ? [m.tensor] : []))))
  const weights = weightTensors(model).filter((w) => makers.has(w.name))
  const { scores, pool = 'mean' } = await scoreOf[id]({ model, weights }, undefined as never, context)
  const byName = new Map(weights.map((w, i) => [w.name, { weight: w, scores: scores[i] }]))
  return groups.map((g) => pooled(g, byName, pool))
}

function pooled(
  { units, members }: ChannelGroup,
  byName: ReadonlyMap<string, { readonly weight: WeightTensor; readonly scores: Float32Array }>,
  pool: Pool,
): Float32Array {
  const sums = new Float64Array(units)
  const counts = new Float64Array(units)
  for (const { tensor, axis, role, units: unitOf } of members) {
    const found = role === 'makes' ? byName.get(tensor) : undefined
    if (!found) continue
    const places = along(found.weight.tensor.dims, axis)
    const own = new Float64Array(places.count)
    addSizes(own, found.scores, places, pool)
    for (const [k, unit] of unitOf.entries()) {
      if (unit < 0) continue
      sums[unit] += own[k]
      counts[unit] += found.scores.length / places.count
    }
  }
  const means = sums.map((s, u) => s / Math.max(1, counts[u]))
  const scores = pool === 'mean' ? means : means.map(Math.sqrt)
  const mean = scores.reduce((a, b) => a + b, 0) / units
  return Float32Array.from(scores, (s) => (mean > 0 ? s / mean : s))
}

interface Budget {
  readonly scores: readonly Float32Array[]
  readonly sparsity: number
  readonly scope: string
  readonly minChannels: number
  readonly multiple: number
  readonly vetoed: ReadonlyMap<ChannelGroup, ReadonlySet<number>>
}

/** The units of each group that go. */
function chosen(
  { parts }: OpenedChannels,
  groups: readonly ChannelGroup[],
  { scores, sparsity, scope, minChannels, multiple, vetoed }: Budget,
): Map<string, Set<number>> {
  const marks = scope === 'global' ? smallest(scores, sparsity) : scores.flatMap((s) => smallest([s], sparsity))
  const gone = new Map(
    groups.map((g, i) => {
      const stays = vetoed.get(g) as ReadonlySet<number>
      const going = [...marks[i].keys()].filter((u) => marks[i][u] && !stays.has(u))
      going.sort((a, b) => scores[i][a] - scores[i][b] || a - b)
      const left = Math.max(minChannels, g.units - going.length)
      const kept = Math.ceil(left / multiple) * multiple
      return [g.name, new Set(going.slice(0, Math.max(0, g.units - kept)))]
    }),
  )
  // Of what passes on some of a group's channels only, such as half of a split, one stays as well.
  const scoreOfUnit = new Map(groups.map((g, i) => [g.name, scores[i]]))
  for (const part of parts) {
    if (!part.every(({ group, unit }) => gone.get(group)?.has(unit))) continue
    const worth = ({ group, unit }: (typeof part)[number]): number => scoreOfUnit.get(group)?.[unit] ?? 0
    const best = part.reduce((a, b) => (worth(b) > worth(a) ? b : a))
    gone.get(best.group)?.delete(best.unit)
  }
  return gone
}
