/**
 * Coupled channels removed: the lowest-scoring ones are removed from every tensor that counts them, so that the network
 * becomes smaller and faster without a sparse format. DepGraph (Fang et al. 2023, arXiv:2301.12900).
 *
 * A unit is one channel with all that residuals, concatenations, splits, shuffles, depthwise and grouped convolutions tie it to.
 * Of each group of coupled layers round(sparsity * units) are removed, or of all groups together. With `budget`, so many are
 * removed that this share of the multiply-adds, parameters, bytes or latency is. Latency is measured, in turn with that of the
 * original network, so what is removed depends on the machine; a warning says how to remove the same elsewhere. What an input, an output or an operator without a
 * rule needs is kept, and a warning names it.
 *
 * Units are ranked by
 * - `magnitude`, `l1`: the norm of the filters that make them (Li et al. 2017, arXiv:1608.08710); `lamp`, `taylor`, `obd`, `obs`:
 *   the mean score of the weights that make them. Scores are divided by the mean of the group, so that groups compare;
 * - `batch-norm`: the scale of their BatchNormalization (Liu et al. 2017, arXiv:1708.06519);
 * - `geometric-median`: how near their filter is to all others of its layer (He et al. 2019, arXiv:1811.00250);
 * - `gates`: the squared gradient of a factor on the channel, a sample at a time (Molchanov et al. 2019, arXiv:1906.10771);
 *   `feature-maps`: its magnitude, over the root of the sum of squares of the group (Molchanov et al. 2017, arXiv:1611.06440);
 * - `activations`, `zeros`: the mean magnitude of what layers read of them, or how often it is not zero (Hu et al. 2016,
 *   arXiv:1607.03250);
 * - `thinet`: how much of the outputs of the layers that read them is lost (Luo et al. 2017, arXiv:1707.06342).
 *
 * With data the layers behind are repaired without training (`repair`): by least squares on calibration inputs each gets the
 * weights and the bias that come nearest to what it made before. In `rounds`, units are scored, removed and repaired in several
 * steps, each with its part of the budget. Outputs still change, and training afterwards makes up for more. `remove-dead`
 * removes what does not matter.
 */

import { type ChannelGroup, type OpenedChannels, openChannels } from '../channels/channel-groups.ts'
import { didYouMean } from '../errors.ts'
import { type Context, defineMethod } from '../method.ts'
import { type RepairKind, repairAfter } from './_repair.ts'
import { budgets, type Units, unitsWithin } from './_unit-budget.ts'
import { scoresOfWeights, type UnitScoreName, unitScores } from './unit-scores/index.ts'

const options = {
  sparsity: {
    type: 'number',
    default: 0.3,
    min: 0,
    max: 1,
    help: 'share of the channels, or of the budget, that is removed',
  },
  budget: {
    type: 'choice',
    of: budgets,
    default: 'channels',
    help: 'what sparsity is a share of: channels, multiply-adds, parameters, stored bytes, or the latency that ONNX Runtime takes on this machine',
  },
  scope: {
    type: 'choice',
    of: ['group', 'global'],
    default: 'group',
    help: 'whether channels are ranked within each group of coupled layers or all together',
  },
  score: {
    type: 'choice',
    of: Object.keys(unitScores) as UnitScoreName[],
    default: 'magnitude',
    help: 'how channels are ranked for removal',
  },
  repair: {
    type: 'choice',
    of: ['none', 'statistics', 'least-squares'],
    default: 'least-squares',
    help: 'how later layers are adjusted to the removal, where there is data: new BatchNormalization statistics, or new weights by least squares',
  },
  rounds: {
    type: 'number',
    default: 1,
    min: 1,
    max: 100,
    integer: true,
    help: 'steps in which channels are scored, removed and repaired',
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
  minChannels: { type: 'number', default: 1, min: 1, integer: true, help: 'the fewest channels that a group may keep' },
  multiple: {
    type: 'number',
    default: 0,
    min: 0,
    integer: true,
    help: 'the number of channels that a group keeps is rounded up to a multiple of this; 0: of 16, where kernels are fastest, and of less in groups of fewer than 64',
  },
  overNormalised: {
    type: 'boolean',
    default: false,
    help: 'removes channels that a LayerNormalization takes the mean of too: it is then the mean of those that are left',
  },
} as const

export const channels = defineMethod({
  id: 'channels',
  help: 'removes the least important channels with everything coupled to them: tensors shrink, and outputs change',
  data: 'samples that channels are scored on and later layers are repaired on; without any, channels are ranked by their weights and nothing is repaired',
  options,
  async run(model, given, context) {
    const { rounds } = given
    const repair = repairAfter(model, given.repair as RepairKind, context)
    // Equal shares of what is left, so that all rounds together remove what is asked for.
    const sparsity = 1 - (1 - given.sparsity) ** (1 / rounds)
    let [now, keep] = [model, given.keep]
    for (let round = 0; round < rounds; round++) {
      const opened = openChannels(now, { overNormalised: given.overNormalised })
      const vetoed = vetoes(opened.groups, { exclude: given.exclude, keep })
      const groups = opened.groups.filter((g) => vetoed.get(g)?.size !== g.units)
      if (round === 0) warnOfHeld(opened.groups, context)
      if (round === 0 && groups.length === 0)
        context.warn?.(
          'channels: nothing was removed: no layer with plain float32 weights has channels that can be removed',
        )
      if (groups.length === 0) return now
      const scores = await scoresOf(opened, groups, {
        score: given.score as UnitScoreName,
        context,
        isFirst: round === 0,
      })
      const units = await unitsWithin(opened, groups, { ...given, sparsity, scores, vetoed }, context)
      const small = opened.without(units)
      if (small !== now) now = await repair(opened, small, units)
      keep = keep.map((text) => movedUp(text, units))
      context.progress?.((round + 1) / rounds, 'removing channels')
    }
    if (given.repair !== 'none' && !context.data && now !== model)
      context.warn?.('channels: no data was given, so the layers behind were not repaired')
    return now
  },
})

interface Scoring {
  readonly score: UnitScoreName
  readonly context: Context
  readonly isFirst: boolean
}

/** Scores by graph: nobody sees what flows inside nested ones, so there weights alone are looked at. */
async function scoresOf(
  { rooms }: OpenedChannels,
  groups: readonly ChannelGroup[],
  { score, context, isFirst }: Scoring,
): Promise<Float32Array[]> {
  const scores: Float32Array[] = []
  for (const [i, room] of rooms.entries()) {
    const own = groups.filter((g) => room.groups.includes(g))
    if (own.length === 0) continue
    const isBlind = i > 0 && !scoresOfWeights.includes(score)
    if (isBlind && isFirst)
      context.warn?.(`channels: "${own[0].name}" is in a nested graph, where ${score} cannot look; ranked by magnitude`)
    scores.push(...(await unitScores[isBlind ? 'magnitude' : score]({ opened: room, groups: own, context })))
  }
  return scores
}

/** GROUP:INDEX after other units of the group are gone. */
function movedUp(text: string, units: Units): string {
  const { name, unit } = unitNamed(text)
  const before = [...(units.get(name) ?? [])].filter((u) => u < unit).length
  return `${name}:${unit - before}`
}

function unitNamed(text: string): { name: string; unit: number } {
  const at = text.lastIndexOf(':')
  return { name: text.slice(0, Math.max(0, at)), unit: Number(text.slice(at + 1)) }
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
    const { name, unit } = unitNamed(text)
    const group = groups.find((g) => g.name === name)
    if (!group || !(Number.isInteger(unit) && unit >= 0 && unit < group.units))
      throw new Error(
        `channels: keep "${text}" is no channel of a group; expected GROUP:INDEX${group ? ` with an index below ${group.units}` : ` of a group that coppice inspect --groups lists${didYouMean(name, new Set(groups.map((g) => g.name)))}`}`,
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
    context.warn?.(`channels: not removed, as ${why}: ${names.slice(0, 5).join(', ')}${more}`)
  }
}
