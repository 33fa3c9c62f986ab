/**
 * By what layers read of them, on calibration inputs, over all places and readers: `activations` by the mean magnitude;
 * `zeros` by the share that is not zero (APoZ, Hu et al. 2016, arXiv:1607.03250).
 */
import { watchValues } from '../../calibrate/watch-values.ts'
import type { Feeds } from '../../method.ts'
import { floatValues, sizeOf } from '../../tensor/dtype.ts'
import { axisRead, membersOf, overMean, type UnitScore } from './unit-score.ts'

export const activations = byValues((v) => Math.abs(v))
export const zeros = byValues((v) => Number(v !== 0))

function byValues(measure: (value: number) => number): UnitScore {
  return async (given) => {
    const { opened, groups, context } = given
    if (!context.data) throw new Error('channels: this score needs the values that layers read; expected data')
    const readers = groups.map((g) => membersOf(given, g, 'reads'))
    const names = [...new Set(readers.flat().flatMap((r) => axisRead(given, r)?.value ?? []))]
    const sums = groups.map((g) => new Float64Array(g.units))
    const add = (values: Feeds): void => {
      for (const [i, list] of readers.entries()) {
        for (const reader of list) {
          const { units } = reader
          const axis = axisRead(given, reader)
          const value = axis && values[axis.value]
          const x = value && floatValues(value)
          if (!x) continue
          // Grouped convolutions read the group's units once for each of their groups.
          const inner = sizeOf(value.dims.slice(axis.axis + 1))
          const own = new Float64Array(units.length)
          for (let k = 0; k < x.length; k++) own[Math.floor(k / inner) % units.length] += measure(x[k])
          for (const [k, s] of own.entries()) if (units[k] >= 0) sums[i][units[k]] += (s * units.length) / x.length
        }
      }
    }
    const batches = context.data.calibration({ samples: 256, batchSize: 32 })
    await watchValues(opened.model, names, batches, add, { subject: 'channels', signal: context.signal })
    return sums.map(overMean)
  }
}
