/**
 * Pruning and quantisation by one score, in two stages (Yu et al. 2020, arXiv:2010.01892, of which we had the abstract alone).
 *
 * First the weights go that the loss needs least, by |gradient * weight|, in rounds with training after each. Then each tensor gets
 * as many bits as the loss needs: the same score, of what rounding changes (quantize/bits-by-taylor.ts), is least for `meanBits` per
 * weight that is left. Then the network trains under quantisation. Zero is a level of every grid, so pruned weights stay zero.
 *
 * What leaves computes on integers, as that of `train-quantised` does. `remove-dead` takes nothing out of it any more: where units
 * may die, run it between `prune-in-rounds` with score taylor and this method with sparsity 0.
 */
import { weightTensors } from '../graph/weights.ts'
import { type Context, defineMethod } from '../method.ts'
import type { Model } from '../model.ts'
import { modelFingerprint } from '../onnx/fingerprint.ts'
import type { OptionTable } from '../options.ts'
import { magnitude } from '../prune/magnitude.ts'
import { sparsityAt } from '../prune/prune-and-train.ts'
import { gradientSizes, taylor } from '../prune/taylor.ts'
import { bitsByTaylor } from '../quantize/bits-by-taylor.ts'
import { expandGrids } from '../quantize/compact.ts'
import { floats } from '../tensor/dtype.ts'
import { trainingFingerprint } from '../train/fingerprint.ts'
import { learningOptions } from '../train/learning.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { storedWeights } from '../train/regimes/remade-weights.ts'
import { type Stage, trainInStages } from '../train/stages.ts'
import { integerChoices, prepareQuantised, quantiserChoices } from './_quantised.ts'
import { trainingOf } from './_training.ts'

const { activationBits, activations, clipDecay } = quantiserChoices

const choices = {
  bitEpochs: {
    type: 'number',
    optional: true,
    min: 1,
    max: 1e6,
    integer: true,
    value: 'epochs',
    help: 'epochs under quantisation (default: as many as after each round)',
  },
  sparsity: { ...magnitude.options.sparsity, default: 0.9 },
  scope: {
    ...magnitude.options.scope,
    default: 'global',
  },
  exclude: { ...magnitude.options.exclude, help: 'names of weights that are not pruned' },
  rounds: {
    type: 'number',
    default: 3,
    min: 1,
    max: 1000,
    integer: true,
    help: 'rounds of pruning, each followed by `epochs` of training; most goes in the first',
  },
  meanBits: {
    type: 'number',
    default: 4,
    min: 2,
    max: 8,
    help: 'bits of a weight that is not zero, on average over all tensors, each of which has 2 to 8',
  },
  samples: taylor.options.samples,
  activationBits: { ...activationBits, default: 8 },
  activations,
  clipDecay,
  freezeAfter: {
    type: 'number',
    default: 0.5,
    min: 0,
    max: 1,
    value: 'share',
    help: 'share of the epochs under quantisation after which BatchNormalization keeps its statistics',
  },
  ...integerChoices,
} as const satisfies OptionTable

export const taylorBits = defineMethod({
  id: 'taylor-bits',
  help: 'prunes in rounds, then gives each tensor its bits, both by what the loss needs, and trains after each',
  data: 'a training set with labels or targets',
  trains: true,
  options: { ...learningOptions({ epochs: 2, rate: 0.01 }), ...choices },
  async run(given, options, context) {
    const { data, context: inside, options: training } = await trainingOf('taylor-bits', options, context)
    const { sparsity, scope, exclude, rounds, samples, meanBits, bitEpochs = options.epochs, freezeAfter } = options
    const start = expandGrids(given)
    const settings = { ...options, weights: 'lsq', weightBits: 8, edgeBits: 0, perChannel: false } as const
    const quantised = async (model: Model): Promise<Stage> => {
      const bitsOf = (prepared: Model) => bitsFor(prepared, { samples, meanBits, context: inside })
      const { model: prepared, quantising } = await prepareQuantised('taylor-bits', model, {
        settings,
        context: inside,
        bitsOf,
      })
      const regimes = [keepZeros(), quantising]
      const frozenStatistics = Math.round(freezeAfter * bitEpochs)
      return { model: prepared, training: { ...training, epochs: bitEpochs, frozenStatistics, regimes } }
    }
    const { checkpoint } = context
    return trainInStages(start, data, {
      count: (sparsity > 0 ? rounds : 0) + 1,
      async begin(index, current) {
        if (sparsity === 0 || index === rounds) return quantised(current)
        const share = sparsityAt('gradual', sparsity, { round: index + 1, rounds })
        const pruned = await taylor(current, { sparsity: share, scope, exclude, samples }, inside)
        return { model: pruned, training: { ...training, regimes: [keepZeros()] } }
      },
      record: (index) => ({ stage: index }),
      ...(checkpoint ? { checkpoint } : {}),
      fingerprint: () =>
        JSON.stringify([modelFingerprint(start), options, context.seed, trainingFingerprint(data, training)]),
      subject: 'pruning and quantisation',
    })
  },
})

interface Bits {
  readonly samples: number
  readonly meanBits: number
  readonly context: Context
}

async function bitsFor(model: Model, { samples, meanBits, context }: Bits): Promise<Record<string, number>> {
  const stored = new Set(storedWeights('taylor-bits', model).map((w) => w.name))
  const weights = weightTensors(model).filter((w) => stored.has(w.name))
  const gradients = await gradientSizes('taylor-bits', { model, weights }, { options: { samples }, context })
  if (!gradients)
    throw new Error(
      'taylor-bits: there are no samples to take gradients on; expected a training set with labels or targets',
    )
  return bitsByTaylor(
    weights.map(({ name, tensor }, i) => ({ name, values: floats(tensor), gradients: gradients[i] })),
    meanBits,
  )
}
