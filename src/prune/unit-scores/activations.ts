/**
 * By what layers read of them, on calibration inputs, over all places and readers: `activations` by the mean magnitude;
 * `zeros` by the share that is not zero (APoZ, Hu et al. 2016, arXiv:1607.03250).
 */
import { partBetween } from '../../graph/cut.ts'
import { openSession, withSession } from '../../runtime/session.ts'
import { floatValues, sizeOf } from '../../tensor/dtype.ts'
import { membersOf, overMean, type UnitScore } from './unit-score.ts'

export const activations = byValues((v) => Math.abs(v))
export const zeros = byValues((v) => Number(v !== 0))

function byValues(measure: (value: number) => number): UnitScore {
  return async (given) => {
    const { opened, groups, context } = given
    if (!context.data) throw new Error('channels: this score looks at what layers read; expected data')
    const readers = groups.map((g) => membersOf(given, g, 'reads'))
    const names = [...new Set(readers.flat().map((r) => r.at.inputs[0]))]
    const sums = groups.map((g) => new Float64Array(g.units))
    const own = new Set(opened.model.graph.inputs.map((i) => i.name))
    const wanted = names.filter((n) => !own.has(n))
    await withSession(
      () =>
        openSession(
          partBetween(
            opened.model,
            [],
            wanted.map((name) => ({ name })),
          ),
        ),
      async (session) => {
        for (const feeds of context.data?.calibration({ samples: 256, batchSize: 32 }) ?? []) {
          const values = wanted.length > 0 ? await session.run(feeds, wanted) : {}
          for (const [i, list] of readers.entries()) {
            for (const { at, units } of list) {
              const value = values[at.inputs[0]]
              const x = value && floatValues(value)
              if (!x) continue
              // Grouped convolutions read the group's units once for each of their groups.
              const axis = opened.view.axis(at.inputs[0])
              const inner = sizeOf(value.dims.slice(axis + 1))
              const own = new Float64Array(units.length)
              for (let k = 0; k < x.length; k++) own[Math.floor(k / inner) % units.length] += measure(x[k])
              for (const [k, s] of own.entries()) if (units[k] >= 0) sums[i][units[k]] += (s * units.length) / x.length
            }
          }
        }
      },
    )
    return sums.map(overMean)
  }
}
