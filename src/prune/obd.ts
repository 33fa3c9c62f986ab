/**
 * Optimal Brain Damage (LeCun, Denker, Solla 1989): the score h_kk w_k² / 2, with h_kk the diagonal of the loss's Hessian.
 *
 * `fisher`: h_kk = mean over examples of (dl_n / dw_k)², squared for each example before averaging (Gauss-Newton).
 * `hessian`: from v ⊙ Hv for random signs v, whose mean is the diagonal (Hutchinson 1989; Bekas et al. 2007), Hv by a second
 * backward pass. The mean of a few is mostly noise, half of it negative, so its root mean square counts instead, as in
 * AdaHessian (Yao et al. 2020, arXiv:2006.00719): sqrt(Σ_j H_kj²), the diagonal's size and a bound on it.
 */
import type { WeightTensor } from '../graph/weights.ts'
import { type Context, defineMethod } from '../method.ts'
import type { Model } from '../model.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import {
  type GradientBatch,
  gradientBatches,
  gradientOptions,
  openGradients,
  singles,
  warnOfSilence,
} from '../train/weight-gradients.ts'
import { type Competing, pruneBy, type Scored, selectOptions, zerosFirst } from './_select.ts'

export const obd = defineMethod({
  id: 'obd',
  help: 'zeroes the weights of least saliency, by the diagonal of the Hessian',
  data: 'labelled samples, or inputs alone, with labels drawn from the answers of the model; without any, weights are ranked by size',
  options: {
    ...selectOptions,
    diagonal: {
      type: 'choice',
      of: ['fisher', 'hessian'],
      default: 'fisher',
      help: 'squared gradients of single examples, or products of the Hessian with random signs',
    },
    samples: { type: 'number', default: 256, min: 1, integer: true, help: 'samples that derivatives are taken on' },
    probes: {
      type: 'number',
      default: 8,
      min: 1,
      integer: true,
      onlyWith: { diagonal: ['hessian'] },
      help: 'random vectors per batch, for hessian',
    },
  },
  run: pruneBy('obd', obdScores),
})

export async function obdScores(
  { model, weights }: Competing,
  options: { readonly diagonal: string; readonly samples: number; readonly probes: number },
  context: Context,
): Promise<Scored> {
  const batches = await gradientBatches(model, context, options)
  if (!batches) context.warn?.('obd: no data was given, so the Hessian counts as the identity, which ranks by |weight|')
  const h = !batches
    ? undefined
    : options.diagonal === 'fisher'
      ? await fisherDiagonal(model, weights, batches, context)
      : await hessianSizes(model, weights, { batches, probes: options.probes, context })
  return { scores: weights.map((w, i) => zerosFirst(w.tensor, (v, k) => 0.5 * (h ? h[i][k] : 1) * v * v)) }
}

function empty(weights: readonly WeightTensor[]): Float64Array[] {
  return weights.map((w) => new Float64Array(sizeOf(w.tensor.dims)))
}

/** mean_n (dl_n / dw)², for each weight. */
export async function fisherDiagonal(
  model: Model,
  weights: readonly WeightTensor[],
  batches: readonly GradientBatch[],
  context: Context = {},
): Promise<Float64Array[]> {
  const total = empty(weights)
  const one = singles(model, batches[0]).next().value as GradientBatch
  const gradients = await openGradients(model, weights, gradientOptions(one))
  try {
    for (const batch of batches) {
      for (const example of singles(model, batch)) {
        const found = await gradients.of(example)
        for (const [i, g] of found.entries()) {
          for (let k = 0; k < g.length; k++) total[i][k] += g[k] * g[k]
        }
      }
    }
  } finally {
    await gradients.release()
  }
  warnOfSilence('obd', gradients, context)
  for (const t of total) for (let k = 0; k < t.length; k++) t[k] /= gradients.energies.length
  return total
}

/** For each weight the root mean square of v ⊙ Hv, over batches and random signs v. */
export async function hessianSizes(
  model: Model,
  weights: readonly WeightTensor[],
  {
    batches,
    probes,
    context,
  }: { readonly batches: readonly GradientBatch[]; readonly probes: number; readonly context: Context },
): Promise<Float64Array[]> {
  const total = empty(weights)
  const rng = random(context.seed ?? 0)
  const same = batches.filter((b) => b.labels.length === batches[0].labels.length)
  const gradients = await openGradients(model, weights, { ...gradientOptions(batches[0]), order: 2 })
  try {
    for (const batch of same) {
      for (let p = 0; p < probes; p++) {
        const signs = total.map((t) => Float32Array.from(t, () => (rng.next() < 0.5 ? -1 : 1)))
        const products = await gradients.of(batch, signs)
        for (const [i, hv] of products.entries()) {
          // v is ±1, so it does not show in the square.
          for (let k = 0; k < hv.length; k++) total[i][k] += hv[k] * hv[k]
        }
      }
    }
  } finally {
    await gradients.release()
  }
  warnOfSilence('obd', gradients, context)
  for (const t of total) for (let k = 0; k < t.length; k++) t[k] = Math.sqrt(t[k] / (same.length * probes))
  return total
}
