/**
 * Mixed samples: each becomes λ of itself and 1 - λ of another one of its batch, and so does its target (mixup; Zhang et al. 2018,
 * arXiv:1710.09412, algorithm 1). A teacher is asked about the mixed samples themselves, which gives it endless different ones
 * (Beyer et al. 2022, arXiv:2106.05237): most of use where there are few.
 */
import type { Feeds } from '../method.ts'
import { permutation, type Random } from '../tensor/random.ts'

export interface Mixing {
  /** λ, 0 to 1. */
  readonly share: number
  /** The other sample of each. */
  readonly partners: Uint32Array
}

/** λ from Beta(a, a), for a above 0 up to 1 (Jöhnk 1964), and partners at random. */
export function drawMixing(count: number, a: number, rng: Random): Mixing {
  // Logarithms of u^(1/a) and v^(1/a), which for a small a are smaller than any number.
  let [u, v] = [0, 0]
  while (Math.exp(u) + Math.exp(v) > 1) [u, v] = [Math.log(1 - rng.next()) / a, Math.log(1 - rng.next()) / a]
  return { share: 1 / (1 + Math.exp(v - u)), partners: permutation(count, rng) }
}

/** Rows of equal length, one for each sample, mixed. */
export function mixRows(rows: Float32Array, { share, partners }: Mixing): Float32Array {
  const length = rows.length / partners.length
  const out = new Float32Array(rows.length)
  partners.forEach((partner, sample) => {
    for (let i = 0; i < length; i++)
      out[sample * length + i] = share * rows[sample * length + i] + (1 - share) * rows[partner * length + i]
  })
  return out
}

/** Inputs mixed. Throws one sentence where one is no float with a sample in each place of its first axis. */
export function mixFeeds(feeds: Feeds, mixing: Mixing): Feeds {
  const mixed = Object.entries(feeds).map(([name, value]) => {
    if (!(value.data instanceof Float32Array) || value.dims[0] !== mixing.partners.length)
      throw new Error(
        `mixup: input "${name}" is [${value.dims}] of ${value.dtype}; expected ${mixing.partners.length} samples of float32 along the first axis`,
      )
    return [name, { ...value, data: mixRows(value.data, mixing) }]
  })
  return Object.fromEntries(mixed)
}
