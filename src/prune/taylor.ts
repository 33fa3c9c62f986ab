/**
 * First-order Taylor pruning of single weights: the score |g w| estimates how much the loss changes where w becomes zero
 * (Molchanov et al. 2019, arXiv:1906.10771). The absolute value is taken a batch at a time and then averaged, so that
 * gradients of opposite signs do not cancel.
 */
import { type Context, defineMethod } from '../method.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { gradientBatches, openGradients, shapesOf, warnOfSilence } from '../train/weight-gradients.ts'
import { type Competing, pruneBy, type Scored, selectOptions, zerosFirst } from './_select.ts'

export const taylor = defineMethod({
  id: 'taylor',
  help: 'zeroes the weights whose removal changes the loss least, by |gradient * weight|',
  data: 'labelled samples, or inputs alone, with labels drawn from the answers of the model; without any, weights are ranked by size',
  options: {
    ...selectOptions,
    samples: { type: 'number', default: 1024, min: 1, integer: true, help: 'samples that gradients are taken on' },
  },
  run: pruneBy('taylor', taylorScores),
})

export async function taylorScores(
  { model, weights }: Competing,
  options: { readonly samples: number },
  context: Context,
): Promise<Scored> {
  const batches = await gradientBatches(model, context, options)
  if (!batches) context.warn?.('taylor: no data was given, so every gradient counts as 1, which ranks by |weight|')
  const totals = weights.map((w) => new Float32Array(sizeOf(w.tensor.dims)).fill(batches ? 0 : 1))
  if (batches) {
    const inputShapes = shapesOf(batches[0].feeds)
    const gradients = await openGradients(model, weights, { inputShapes })
    try {
      // A last batch of another size is left out: the graph has static shapes.
      for (const batch of batches.filter((b) => b.labels.length === batches[0].labels.length)) {
        const found = await gradients.of(batch)
        for (const [i, g] of found.entries()) {
          for (let k = 0; k < g.length; k++) totals[i][k] += Math.abs(g[k])
        }
      }
    } finally {
      await gradients.release()
    }
    warnOfSilence('taylor', gradients, context)
  }
  return { scores: weights.map((w, i) => zerosFirst(w.tensor, (v, k) => Math.abs(v) * totals[i][k])) }
}
