/**
 * Group lasso: λ · Σ over units of √n · ‖w_u‖ is added to the loss, with w_u all weights of unit u and n how many they are, so
 * that whole units go to zero while the network learns, before they are removed. Wen et al. 2016 (arXiv:1608.03665); for coupled
 * channels DepGraph (Fang et al. 2023, arXiv:2301.12900).
 */
import { add, mul, scale } from '../../ops/grad/emit.ts'
import type { Regime } from '../regime.ts'
import { checkUnits, digestOf, type UnitGroup, unitSizes, unitSquares } from './unit-norms.ts'

export interface GroupLassoOptions {
  /** The units, as `openChannels(model).groups` of coppice/prune lists them. */
  readonly groups: readonly UnitGroup[]
  /** λ, 0 or more. */
  readonly lambda: number
}

/** Near zero the norm is smoothed by this much, so that its gradient is finite. */
const smoothing = 1e-12

/** Throws where a group has no weight that is trained, or lambda is out of range. */
export function groupLasso({ groups, lambda }: GroupLassoOptions): Regime {
  if (!Number.isFinite(lambda) || lambda < 0) throw new Error(`group-lasso: lambda must be 0 or more, got ${lambda}`)
  return {
    id: 'group-lasso',
    digest: { groups: digestOf(groups), lambda },
    enter(model) {
      checkUnits('group-lasso', model, groups)
      return {
        terms: [
          {
            emit(g, scope) {
              const norms = groups.map((group) => {
                const squares = unitSquares(g, scope, group)
                const norm = g.op('Sqrt', [add(g, squares, g.constant(smoothing))])
                const roots = g.constant(unitSizes(model, scope.parameters, group).map(Math.sqrt), 'float32', [
                  group.units,
                ])
                const all = [mul(g, norm, roots), g.ints([0])]
                return g.op('ReduceSum', all, { attributes: { keepdims: 0 }, shape: [] })
              })
              return scale(
                g,
                norms.reduce((a, b) => add(g, a, b)),
                lambda,
              )
            },
          },
        ],
      }
    },
  }
}
