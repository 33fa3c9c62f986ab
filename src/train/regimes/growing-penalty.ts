/**
 * A penalty that grows for what matters least: Σ over units of λ_u/2 · ‖w_u‖² is added to the loss, and after every so many steps
 *
 *   λ_u ← λ_u + δ · (max I - I_u) / (max I - min I),   I_u = ‖w_u‖² and its largest and smallest in the group
 *
 * so that a group's smallest units are pressed to zero and its largest are hardly touched. Growing regularisation (Wang et al.
 * 2021, arXiv:2012.09243) on coupled channels (DepGraph, Fang et al. 2023, arXiv:2301.12900).
 */
import { add, mul, scale } from '../../ops/grad/emit.ts'
import type { Arrays, Projection, Regime } from '../regime.ts'
import { checkUnits, digestOf, type UnitGroup, unitSquares, unitSquaresOf } from './unit-norms.ts'

export interface GrowingPenaltyOptions {
  /** The units, as `openChannels(model).groups` of coppice/prune lists them. */
  readonly groups: readonly UnitGroup[]
  /** λ of every unit at the start, 0 or more; default 1e-4. */
  readonly start?: number
  /** δ, above 0: by how much that of a group's smallest unit grows each time; default 1e-4. */
  readonly growth?: number
  /** Steps from one growth to the next. */
  readonly every: number
}

/** Throws where a group has no weight that is trained, or an option is out of range. */
export function growingPenalty({ groups, start = 1e-4, growth = 1e-4, every }: GrowingPenaltyOptions): Regime {
  if (!Number.isFinite(start) || start < 0) throw new Error(`growing-penalty: start must be 0 or more, got ${start}`)
  if (!Number.isFinite(growth) || growth <= 0) throw new Error(`growing-penalty: growth must be above 0, got ${growth}`)
  if (!(Number.isInteger(every) && every > 0))
    throw new Error(`growing-penalty: every must be a whole number above 0, got ${every}`)
  const key = (i: number): string => `lambda/${i}`
  return {
    id: 'growing-penalty',
    digest: { groups: digestOf(groups), start, growth, every },
    enter(model) {
      checkUnits('growing-penalty', model, groups)
      const state = groups.map(({ units }, i) => [
        key(i),
        { shape: [units], values: new Float32Array(units).fill(start) },
      ])
      const grow: Projection = {
        every,
        apply({ weights, state: before }) {
          return { state: grown(model, groups, { weights, lambda: (i) => before.get(key(i)), growth, key }) }
        },
      }
      return {
        state: Object.fromEntries(state),
        projections: [grow],
        terms: [
          {
            emit(g, scope) {
              const parts = groups.map((group, i) => {
                const all = [mul(g, unitSquares(g, scope, group), scope.state(key(i))), g.ints([0])]
                return g.op('ReduceSum', all, { attributes: { keepdims: 0 }, shape: [] })
              })
              return scale(
                g,
                parts.reduce((a, b) => add(g, a, b)),
                0.5,
              )
            },
          },
        ],
      }
    },
  }
}

interface Growth {
  readonly weights: Arrays
  lambda(group: number): Float32Array | undefined
  readonly growth: number
  key(group: number): string
}

function grown(
  model: Parameters<typeof unitSquaresOf>[0],
  groups: readonly UnitGroup[],
  { weights, lambda, growth, key }: Growth,
): Map<string, Float32Array> {
  const changed = new Map<string, Float32Array>()
  for (const [i, group] of groups.entries()) {
    const now = lambda(i)
    if (!now) continue
    const sizes = unitSquaresOf(model, weights, group)
    const [least, most] = [Math.min(...sizes), Math.max(...sizes)]
    changed.set(
      key(i),
      now.map((v, u) => v + (most > least ? (growth * (most - sizes[u])) / (most - least) : 0)),
    )
  }
  return changed
}
