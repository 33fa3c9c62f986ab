/**
 * Training from the weights that a model has: after pruning or sharing, to recover accuracy.
 * By default weights that are zero stay zero, so that a pruned model stays pruned; and weights that share few values
 * keep sharing them, so that the model stays as small: the values themselves learn.
 *
 * BatchNormalization keeps its statistics by default: those of data that is fed in another way than when the
 * network was trained (not cropped at random, say) can cost more accuracy than an epoch gains.
 */
import { defineMethod } from '../method.ts'
import { expandGrids } from '../quantize/compact.ts'
import { learningOptions } from '../train/learning.ts'
import type { Regime } from '../train/regime.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { tie, tieSteps } from '../train/regimes/tie.ts'
import { train } from '../train/train.ts'
import { taught, teacherChoices } from './_teacher.ts'
import { trainingOf } from './_training.ts'

export const finetuneChoices = {
  keep: {
    type: 'choice',
    of: ['values', 'zeros', 'none'],
    default: 'values',
    value: 'what',
    help: 'values: weights that are zero stay zero and weights that share few values keep sharing them, so that the model stays as small; zeros: only the first; none: neither',
  },
  sharedStep: {
    type: 'choice',
    of: tieSteps,
    default: 'mean',
    value: 'how',
    onlyWith: { keep: ['values'] },
    help: 'how far a shared value moves: by the mean of the gradients of its weights, or by their sum',
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
  teacher: true,
  options: { ...learningOptions({ epochs: 1, rate: 0.001 }), ...finetuneChoices, ...teacherChoices },
  async run(model, { keep, sharedStep, updateStatistics, alpha, temperature, ...learning }, context) {
    const { data, options } = await trainingOf('finetune', learning, context)
    const { checkpoint } = context
    const trained = await train(expandGrids(model), data, {
      ...options,
      frozenStatistics: !updateStatistics,
      regimes: [...keeping(keep, sharedStep), ...taught(model, { alpha, temperature }, context)],
      ...(checkpoint ? { checkpoint: { store: checkpoint } } : {}),
    })
    return trained.model
  },
})

export type Keep = 'values' | 'zeros' | 'none'

/** What keeps a compressed model as small as it is. */
export function keeping(keep: Keep, step: 'mean' | 'sum'): Regime[] {
  return [...(keep === 'none' ? [] : [keepZeros()]), ...(keep === 'values' ? [tie({ step })] : [])]
}
