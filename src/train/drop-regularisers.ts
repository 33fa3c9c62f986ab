/**
 * A network without what keeps it from memorising its training data: no Dropout and no BatchNormalization.
 *
 * Without normalisation a deep network hardly trains from its usual start, so the start is set by data: each normalisation
 * is given the mean and variance of one batch and then folded into its layer. On that batch each layer's outputs then have
 * mean 0 and variance 1, and nothing normalises any more (Krähenbühl et al. 2016, arXiv:1511.06856; Mishkin & Matas 2016,
 * arXiv:1511.06422).
 */
import { first } from '../data/batches.ts'
import type { Batcher, Dataset } from '../data/dataset.ts'
import { f } from '../graph/build.ts'
import { describe } from '../graph/walk.ts'
import { type Model, withGraph } from '../model.ts'
import { foldBatchNorms } from '../simplify/fold-batch-norm.ts'
import { sgd } from './optimizers.ts'
import { train } from './train.ts'

export interface DropRegularisersOptions {
  readonly batcher: Batcher
  /** Samples of the batch, the first of the data; default 256. */
  readonly samples?: number
  readonly threads?: number
}

/** `model` is yet to be trained. Throws where a BatchNormalization does not follow a layer that it can be folded into. */
export async function dropRegularisers(
  model: Model,
  data: Dataset,
  { batcher, samples = 256, threads }: DropRegularisersOptions,
): Promise<Model> {
  const nodes = model.graph.nodes.map((n) => {
    if (n.op === 'Dropout') return { ...n, op: 'Identity', inputs: n.inputs.slice(0, 1), attributes: {} }
    // Without momentum the running statistics are the last batch's.
    return n.op === 'BatchNormalization' ? { ...n, attributes: { ...n.attributes, momentum: f(0) } } : n
  })
  const bare = withGraph(model, { nodes })
  if (!nodes.some((n) => n.op === 'BatchNormalization')) return bare
  const batch = first(data, samples)
  const one = { batcher, epochs: 1, batchSize: batch.length, learningRate: 0, optimizer: sgd({ momentum: 0 }), threads }
  const measured = await train(bare, batch, one)
  return foldBatchNorms(measured.model, (node, why) => {
    throw new Error(`${describe(node)}: it cannot be removed: ${why}; expected a layer before it that it folds into`)
  })
}
