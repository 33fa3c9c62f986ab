/** Which units go: those that score least, within each group or over all, as many as the budget asks for. */
import type { ChannelGroup, OpenedChannels } from '../channels/channel-groups.ts'
import { inspectModel } from '../inspect/inspect.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { timeShare, withinLatency } from './_latency-budget.ts'
import { smallest } from './_select.ts'

export const budgets = ['channels', 'macs', 'parameters', 'bytes', 'latency'] as const

export interface Budget {
  readonly scores: readonly Float32Array[]
  /** Share of the budget that goes. */
  readonly sparsity: number
  readonly budget: string
  readonly scope: string
  readonly minChannels: number
  readonly multiple: number
  /** Of each group what has to stay. */
  readonly vetoed: ReadonlyMap<ChannelGroup, ReadonlySet<number>>
}

/** The units of each group that go, by its name. */
export type Units = ReadonlyMap<string, ReadonlySet<number>>

/** Steps of halving: the share of channels is found to 1 in 1,024. */
const halvings = 10

export async function unitsWithin(
  opened: OpenedChannels,
  groups: readonly ChannelGroup[],
  budget: Budget,
  context: Context,
): Promise<Units> {
  if (budget.budget === 'channels') return chosen(opened, groups, budget)
  if (budget.budget === 'latency') return fasterUnits(opened, groups, budget, context)
  const before = costOf(opened.model, budget.budget)
  const most = (1 - budget.sparsity) * before
  const at = (sparsity: number): { units: Units; cost: number } => {
    const units = chosen(opened, groups, { ...budget, sparsity })
    return { units, cost: costOf(opened.without(units), budget.budget) }
  }
  let best = at(1)
  if (best.cost > most) {
    const reached = (100 * (1 - best.cost / before)).toFixed(1)
    throw new Error(
      `channels: ${reached} % of the ${budget.budget} at most can be removed; expected a sparsity of at most ${Math.floor(10 * Number(reached)) / 1000}`,
    )
  }
  let [few, many] = [0, 1]
  for (let step = 0; step < halvings; step++) {
    const share = (few + many) / 2
    const found = at(share)
    if (found.cost > most) few = share
    else {
      many = share
      best = found
    }
  }
  return best.units
}

/** The units whose removal takes off a share of the measured latency; says how many that were, so that it can be had again. */
async function fasterUnits(
  opened: OpenedChannels,
  groups: readonly ChannelGroup[],
  budget: Budget,
  context: Context,
): Promise<Units> {
  const whole = opened.without(new Map())
  const { share, left, units } = await withinLatency(whole, {
    sparsity: budget.sparsity,
    at(sparsity) {
      const units = chosen(opened, groups, { ...budget, sparsity })
      return { units, model: opened.without(units) }
    },
    timeShare: await timeShare(whole, context),
    progress: context.progress,
  })
  context.warn?.(
    `channels: ${(100 * left).toFixed(0)} % of the time before was measured, on this machine; a budget of channels with a sparsity of ${share} removes the same anywhere`,
  )
  return units
}

/** Throws where the multiply-adds are not known. */
function costOf(model: Model, budget: string): number {
  const { macs, params, bytes } = inspectModel(model).totals
  if (budget === 'parameters') return params
  if (budget === 'bytes') return bytes
  if (macs === null) throw new Error('channels: the multiply-adds of this model are not known; expected another budget')
  return macs
}

/**
 * What kernels work on at once: 16 channels with AVX-512, 8 with AVX2. Numbers of channels that are no multiple of it run slower
 * than they need (bench/multiple.mts). Small groups could lose nothing, so there it is the largest power of two that goes into
 * them four times.
 */
const usualMultiple = (units: number): number => Math.min(16, 2 ** Math.max(0, Math.floor(Math.log2(units / 4))))

function chosen({ parts }: OpenedChannels, groups: readonly ChannelGroup[], budget: Budget): Map<string, Set<number>> {
  const { scores, sparsity, scope, minChannels, multiple, vetoed } = budget
  const marks = scope === 'global' ? smallest(scores, sparsity) : scores.flatMap((s) => smallest([s], sparsity))
  const gone = new Map(
    groups.map((g, i) => {
      const stays = vetoed.get(g) as ReadonlySet<number>
      // An infinite score says that there is nothing to rank by.
      const going = [...marks[i].keys()].filter((u) => marks[i][u] && !stays.has(u) && scores[i][u] < Infinity)
      going.sort((a, b) => scores[i][a] - scores[i][b] || a - b)
      const left = Math.max(minChannels, g.units - going.length)
      const block = multiple || usualMultiple(g.units)
      const kept = Math.ceil(left / block) * block
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
