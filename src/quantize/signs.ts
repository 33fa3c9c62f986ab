/**
 * Signs: of each weight its sign is kept, and one size for the tensor or for each output channel: -s, 0, s (ternary: Li et
 * al. 2016, arXiv:1605.04711) or -s, s (binary: Rastegari et al. 2016, arXiv:1603.05279, with a size per channel). Zeros of
 * pruned weights stay zero.
 *
 * Done to a trained network it costs most of the accuracy; `train-quantised` with ternary or binary weights, or `finetune`
 * (which trains the shared sizes), brings it back.
 */
import { replaceTensors, weightTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import { floats, sizeOf, tensorOfFloats } from '../tensor/dtype.ts'
import { signLevels, signsOf } from './_signs.ts'

export const signs = defineMethod({
  id: 'signs',
  help: 'keeps the sign of each weight and one size per channel or tensor (ternary or binary weights); outputs change',
  options: {
    levels: {
      type: 'choice',
      of: signLevels,
      default: 'ternary',
      help: 'ternary: weights below 0.7 times the mean size become 0; binary: all keep their sign',
    },
    sizes: {
      type: 'choice',
      of: ['channel', 'tensor'],
      default: 'channel',
      help: 'what has a size of its own: each output channel, or the tensor',
    },
    minElements: {
      type: 'number',
      default: 256,
      min: 1,
      integer: true,
      help: 'tensors with fewer elements are left alone',
    },
    exclude: { type: 'strings', default: [], help: 'names of weights to leave alone' },
  },
  run(model, { levels: kind, sizes, minElements, exclude }) {
    const chosen = weightTensors(model).filter((w) => !exclude.includes(w.name) && sizeOf(w.tensor.dims) >= minElements)
    return replaceTensors(
      model,
      new Map(
        chosen.map(({ tensor, outputAxis }) => {
          const values = floats(tensor)
          const bad = values.find((v) => !Number.isFinite(v))
          if (bad !== undefined) throw new Error(`signs: weight "${tensor.name}" holds ${bad}; expected finite numbers`)
          const axis = sizes === 'channel' ? outputAxis : undefined
          const channels = axis === undefined ? 1 : tensor.dims[axis]
          const inner = axis === undefined ? values.length : sizeOf(tensor.dims.slice(axis + 1))
          const channelOf = (i: number): number => Math.floor(i / inner) % channels
          const { levels, steps } = signsOf(values, kind, channels, channelOf)
          const shared = Float32Array.from(levels, (q, i) => q * steps[channelOf(i)] || 0)
          return [tensor, tensorOfFloats(tensor.name, tensor.dtype, tensor.dims, shared)]
        }),
      ),
    )
  },
})
