/**
 * Weight sharing: each tensor (or all of them together) keeps k values, found by k-means over its non-zero weights.
 * Zero is kept exact and beside the k, so that what pruning won is not lost.
 * Deep Compression: Han, Mao, Dally 2016, arXiv:1510.00149, section 3.
 */
import { replaceTensors, weightTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import type { Tensor } from '../model.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { kmeans1d, nearest } from '../tensor/kmeans.ts'

export const share = defineMethod({
  id: 'share',
  help: 'lets the weights of a tensor share a few values (a codebook); zero stays zero',
  options: {
    values: {
      type: 'number',
      default: 32,
      min: 1,
      max: 65535,
      integer: true,
      help: 'distinct values a codebook, zero not counted',
    },
    scope: { type: 'choice', of: ['layer', 'global'], default: 'layer', help: 'one codebook a tensor, or one for all' },
    minSize: {
      type: 'number',
      default: 256,
      min: 1,
      integer: true,
      help: 'tensors with fewer elements are left alone',
    },
    exclude: { type: 'strings', default: [], help: 'weights to leave alone, by name' },
  },
  run(model, { values: k, scope, minSize, exclude }) {
    const chosen = weightTensors(model)
      .filter((w) => w.tensor.dtype === 'float32' && !exclude.includes(w.name) && floats(w.tensor).length >= minSize)
      .map((w) => w.tensor)
    const common = scope === 'global' ? codebookOf(chosen, k) : undefined
    const shared = new Map<Tensor, Tensor>()
    for (const tensor of chosen) {
      const codebook = common ?? codebookOf([tensor], k)
      const values = floats(tensor).map((v) => (v === 0 || codebook.length === 0 ? v : codebook[nearest(codebook, v)]))
      shared.set(tensor, floatTensor(tensor.name, tensor.dims, values))
    }
    return replaceTensors(model, shared)
  },
})

/** At most k float32 values for the non-zero weights; empty where all are zero. */
function codebookOf(tensors: readonly Tensor[], k: number): Float32Array {
  const values: number[] = []
  for (const tensor of tensors) for (const v of floats(tensor)) if (v !== 0) values.push(v)
  return values.length === 0 ? new Float32Array(0) : Float32Array.from(kmeans1d(values, k))
}
