/**
 * Layer pruning: the network learns on with a shortcut around each convolution that keeps the shape of its input, while the
 * convolutions themselves are pressed to nothing; those that came to little go, and the shortcuts of the others are folded
 * into their kernels (ResConv, Xu et al. 2020, arXiv:2011.14356). What is left is a network of fewer layers, without a trace
 * of the shortcuts, for `finetune` to train further.
 *
 * Fewer layers are less time in every runtime: no kernel prefers some number of channels, and nothing is sparse.
 */
import { defineMethod } from '../method.ts'
import { expandGrids } from '../quantize/compact.ts'
import { learningOptions } from '../train/learning.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { shortcutSites, shortcuts } from '../train/regimes/shortcuts.ts'
import { train } from '../train/train.ts'
import { trainingOf } from './_training.ts'

export const trainShallow = defineMethod({
  id: 'train-shallow',
  help: 'trains a model further while whole convolutions are pressed to nothing beside a shortcut, and removes those that came to little',
  data: 'a training set with labels or targets',
  trains: true,
  options: {
    ...learningOptions({ epochs: 5, rate: 0.01 }),
    strength: {
      type: 'number',
      default: 0.01,
      min: 0,
      max: 100,
      help: 'how hard convolutions are pressed to nothing: what the sum of their factors counts in the loss',
    },
    threshold: {
      type: 'number',
      default: 0.05,
      min: 0,
      max: 1,
      help: 'the factor up to which a convolution goes in the end',
    },
    share: {
      type: 'number',
      default: 0,
      min: 0,
      max: 1,
      help: 'the share of the convolutions with a shortcut that goes at the least: those of the smallest factors',
    },
    shortcut: {
      type: 'number',
      default: 0,
      min: 0,
      max: 1,
      help: 'the factor of shortcuts at the start, where that of convolutions is 1 less it: 0 for a trained network; 1 trains deep networks that do not train without',
    },
    updateStatistics: {
      type: 'boolean',
      default: true,
      help: 'update BatchNormalization statistics from the data, as the layers after a removed one need',
    },
  },
  async run(given, { strength, threshold, share, shortcut, updateStatistics, ...learning }, context) {
    const { data, options } = await trainingOf('train-shallow', learning, context)
    const model = expandGrids(given)
    const sites = shortcutSites(model).length
    if (sites === 0)
      throw new Error(
        'train-shallow: no convolution keeps the shape of its input (as many channels, strides of 1, odd kernel, padding that keeps the size); expected one',
      )
    const { checkpoint } = context
    const trained = await train(model, data, {
      ...options,
      frozenStatistics: !updateStatistics,
      regimes: [
        keepZeros(),
        shortcuts({ lambda: strength, threshold, fewest: Math.round(share * sites), start: shortcut }),
      ],
      ...(checkpoint ? { checkpoint: { store: checkpoint } } : {}),
    })
    if (shortcutSites(trained.model).length === sites)
      context.warn?.(
        `train-shallow: none of ${sites} convolutions came to ${threshold} or less, so all are left; more strength or epochs press harder, and share removes the smallest`,
      )
    return trained.model
  },
})
