/**
 * First-order Taylor pruning of single weights: the score |g w| estimates how much the loss changes where w becomes zero
 * (Molchanov et al. 2019, arXiv:1906.10771). The absolute value is taken a batch at a time and then averaged, so that
 * gradients of opposite signs do not cancel.
 */
import { type Context, defineMethod } from '../method.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { gradientBatches, gradientOptions, openGradients, warnOfSilence } from '../train/weight-gradients.ts'
import { type Competing, pruneBy, type Scored, selectOptions, zerosFirst } from './_select.ts'

export const taylor = defineMethod({
  id: 'taylor',
  help: 'zeroes the weights whose removal changes the loss least, by |gradient * weight|',
  data: 'samples with labels or targets, or inputs alone, with labels drawn from the answers of the model; without any, weights are ranked by size',
  options: {
    ...selectOptions,
    samples: { type: 'number', default: 1024, min: 1, integer: true, help: 'samples that gradients are taken on' },
  },
  run: pruneBy('taylor', taylorScores),
})

export async function taylorScores(
  competing: Competing,
  options: { readonly samples: number },
  context: Context,
): Promise<Scored> {
  const sizes = await gradientSizes('taylor', competing, { options, context })
  if (!sizes) context.warn?.('taylor: no data was given, so every gradient counts as 1, which ranks by |weight|')
  const { weights } = competing
  return { scores: weights.map((w, i) => zerosFirst(w.tensor, (v, k) => Math.abs(v) * (sizes?.[i][k] ?? 1))) }
}

/** Of each weight the mean of |g| over batches; undefined where the context has no samples. */
export async function gradientSizes(
  subject: string,
  { model, weights }: Competing,
  { options, context }: { readonly options: { readonly samples: number }; readonly context: Context },
): Promise<Float32Array[] | undefined> {
  const all = await gradientBatches(model, context, options)
  if (!all) return undefined
  // A last batch of another size is left out: the graph has static shapes.
  const batches = all.filter((b) => b.labels.length === all[0].labels.length)
  const totals = weights.map((w) => new Float32Array(sizeOf(w.tensor.dims)))
  const gradients = await openGradients(model, weights, gradientOptions(batches[0]))
  try {
    for (const batch of batches) {
      for (const [i, g] of (await gradients.of(batch)).entries()) {
        for (let k = 0; k < g.length; k++) totals[i][k] += Math.abs(g[k]) / batches.length
      }
    }
  } finally {
    await gradients.release()
  }
  warnOfSilence(subject, gradients, context)
  return totals
}
