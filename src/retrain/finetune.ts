/**
 * Training from the weights that a model has: after pruning or sharing, so that it grows back what it lost.
 * Weights that are zero stay zero by default, so that a pruned model stays pruned.
 *
 * BatchNormalization keeps its statistics by default: those of data that is fed in another way than when the
 * network was trained (not cropped at random, say) can cost more accuracy than an epoch gains.
 */
import { defineMethod } from '../method.ts'
import { expandGrids } from '../quantize/compact.ts'
import { learningOptions } from '../train/learning.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { train } from '../train/train.ts'
import { trainingOf } from './_training.ts'

export const finetuneChoices = {
  keep: {
    type: 'choice',
    of: ['zeros', 'none'],
    default: 'zeros',
    value: 'what',
    help: 'zeros: weights that are zero stay zero, so that a pruned model stays pruned; or none',
  },
  updateStatistics: {
    type: 'boolean',
    default: false,
    help: 'update BatchNormalization statistics from the data; by default they are kept',
  },
} as const

export const finetune = defineMethod({
  id: 'finetune',
  help: 'trains a model further, from the weights it has',
  data: 'a training set with labels or targets',
  trains: true,
  options: { ...learningOptions({ epochs: 1, rate: 0.001 }), ...finetuneChoices },
  async run(model, { keep, updateStatistics, ...learning }, context) {
    const { data, options } = await trainingOf('finetune', learning, context)
    const { checkpoint } = context
    const trained = await train(expandGrids(model), data, {
      ...options,
      frozenStatistics: !updateStatistics,
      regimes: keep === 'zeros' ? [keepZeros()] : [],
      ...(checkpoint ? { checkpoint: { store: checkpoint } } : {}),
    })
    return trained.model
  },
})
