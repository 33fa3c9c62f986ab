/**
 * By what the layers that read them lose (ThiNet, Luo et al. 2017, arXiv:1707.06342): with z_u what unit u adds to the outputs
 * of a layer, units are discarded one after the other, always the one whose going makes E |sum of z_u, discarded|² grow least.
 * A unit's score is that growth, as a share of the variance of the layer's outputs, over all layers that read the group.
 * Means do not count: a bias makes up for them.
 *
 * E z_u z_v = sum over j in u, k in v of (WᵀW)_jk Cov_jk, with Cov the covariance of the layer's inputs, so that the samples
 * themselves need not be kept.
 */
import { checkFinite, gramOf, type Moments } from '../../calibrate/input-moments.ts'
import { type Layer, layerOf, momentsOf } from '../../calibrate/layers.ts'
import { weightTensors } from '../../graph/weights.ts'
import { floats } from '../../tensor/dtype.ts'
import { membersOf, type UnitScore } from './unit-score.ts'

export const thinet: UnitScore = async (given) => {
  const { opened, groups, context } = given
  if (!context.data) throw new Error('channels: score thinet needs the values that layers read; expected data')
  const readers = groups.map((g) => membersOf(given, g, 'reads'))
  const names = new Set(readers.flat().map((r) => r.tensor))
  const layers = weightTensors(opened.model)
    .filter((w) => names.has(w.name))
    .map(layerOf)
  const take = { samples: 8192, seed: context.seed ?? 0 }
  const moments = await momentsOf(opened.model, layers, context.data.calibration, take)
  for (const [name, found] of moments) checkFinite('channels', name, found)
  return Promise.all(
    groups.map(async ({ units }, i) => {
      const products = new Float64Array(units ** 2)
      for (const { tensor, units: unitOf } of readers[i]) {
        const layer = layers.find((l) => l.weight.name === tensor)
        const found = moments.get(tensor)
        if (!layer?.shape || !found) continue
        const own = await productsOf(layer, found, { unitOf, units })
        for (const [k, v] of own.entries()) products[k] += v
      }
      return growths(products, units)
    }),
  )
}

interface Units {
  /** The unit of each place along the weight's axis of inputs. */
  readonly unitOf: Int32Array
  readonly units: number
}

/** E z_u z_v of a layer, units x units, over the variance of its outputs. */
async function productsOf({ weight, shape }: Layer, moments: Moments, { unitOf, units }: Units): Promise<Float64Array> {
  const products = new Float64Array(units ** 2)
  if (!shape) return products
  const { groups, rows, columns, transposed } = shape
  const values = floats(weight.tensor)
  const perPlace = columns / unitOf.length
  let total = 0
  for (let g = 0; g < groups; g++) {
    // Columns x rows, as gramOf takes it.
    const turned = transposed ? values : new Float32Array(columns * rows)
    if (!transposed)
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < columns; c++) turned[c * rows + r] = values[(g * rows + r) * columns + c]
    const gram = await gramOf(turned, columns)
    const mean = moments.mean[g]
    for (const { from, size, second } of moments.blocks[g]) {
      for (let i = 0; i < size; i++) {
        const u = unitOf[Math.floor((from + i) / perPlace)]
        for (let j = 0; j < size; j++) {
          const covariance = second[i * size + j] - mean[from + i] * mean[from + j]
          const product = gram[(from + i) * columns + from + j] * covariance
          total += product
          const v = unitOf[Math.floor((from + j) / perPlace)]
          if (u >= 0 && v >= 0) products[u * units + v] += product
        }
      }
    }
  }
  return products.map((p) => (total > 0 ? p / total : 0))
}

/** What each unit adds to the error where it is discarded, the least first. */
function growths(products: Float64Array, units: number): Float32Array {
  const scores = new Float32Array(units)
  /** What a unit would add now. */
  const growth = Float64Array.from({ length: units }, (_, u) => products[u * units + u])
  const left = new Set(growth.keys())
  let least = 0
  while (left.size > 0) {
    let best = -1
    for (const u of left) if (best < 0 || growth[u] < growth[best]) best = u
    left.delete(best)
    // Later ones are worth no less than those that went before, though they may cancel what is missing already.
    least = Math.max(least, growth[best])
    scores[best] = least
    for (const u of left) growth[u] += 2 * products[u * units + best]
  }
  return scores
}
