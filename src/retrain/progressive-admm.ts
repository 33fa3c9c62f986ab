/**
 * Progressive pruning by ADMM (Ye et al. 2018, arXiv:1810.07378; ADMM: Zhang et al. 2018, arXiv:1804.03294). The sparsity is
 * reached in stages. In each the weights are drawn towards sparser ones while they learn,
 *
 *   loss + ρ/2 · Σ ‖w - z + u‖²;   z = P(w + u),  u = u + w - z   after every part of an epoch
 *
 * where P keeps the largest weights (or filters) and ρ rises from `rho` to `rhoEnd`; then they are cut, and what is left learns on
 * under its mask. A stage starts from what the one before left, and what is zero stays zero. With `values` one more stage draws
 * the weights of each tensor to few values, for smaller packed files.
 *
 * Dead units stay: the method remove-dead removes them. A tensor that is excluded, or not named in `sparsities`, learns freely.
 * With `unit` filter, exclude the last layer: its filters make the outputs.
 */
import { defineMethod } from '../method.ts'
import { magnitude } from '../prune/magnitude.ts'
import { pruneByAdmm } from '../prune/prune-by-admm.ts'
import { expandGrids } from '../quantize/compact.ts'
import { learningOptions } from '../train/learning.ts'
import { trainingOf } from './_training.ts'
import { pruneChoices } from './prune-in-rounds.ts'

export const progressiveAdmm = defineMethod({
  id: 'progressive-admm',
  help: 'prunes in stages: draws weights towards sparse ones while they learn (ADMM), cuts them, and trains the others',
  data: 'a training set with labels or targets',
  trains: true,
  options: {
    ...learningOptions({ epochs: 4, rate: 0.01 }),
    retrainEpochs: {
      type: 'number',
      optional: true,
      min: 1,
      max: 1e6,
      integer: true,
      value: 'epochs',
      help: 'epochs after each cut (default: as many as before it)',
    },
    sparsity: { ...magnitude.options.sparsity, default: 0.9 },
    sparsities: pruneChoices.sparsities,
    scope: {
      ...magnitude.options.scope,
      help: 'whether each tensor gets that share, or all weights together: each tensor then what LAMP finds it to bear',
    },
    unit: pruneChoices.unit,
    exclude: magnitude.options.exclude,
    stages: { type: 'number', default: 3, min: 1, max: 1000, integer: true, help: 'stages on the way to the sparsity' },
    pruning: {
      type: 'choice',
      of: ['iterative', 'gradual'],
      default: 'iterative',
      value: 'schedule',
      help: 'how the share rises: iterative (each stage takes the same share of what is left) or gradual (most in the first stages, along a cubic)',
    },
    values: {
      type: 'number',
      default: 0,
      min: 0,
      max: 1024,
      integer: true,
      help: 'above 0: one more stage, after which each tensor has at most this many values beside zero',
    },
    rho: {
      type: 'number',
      default: 0.002,
      min: 1e-9,
      max: 1e3,
      help: 'how strongly weights are drawn when a stage begins',
    },
    rhoEnd: { type: 'number', default: 0.05, min: 1e-9, max: 1e3, help: 'how strongly when it ends; `rho` or more' },
    updates: {
      type: 'number',
      default: 2,
      min: 1,
      max: 1e6,
      integer: true,
      help: 'how often in an epoch it is decided anew which weights are drawn to zero',
    },
    updateStatistics: {
      type: 'boolean',
      default: false,
      help: 'update BatchNormalization statistics from the data; by default they are kept',
    },
  },
  async run(model, options, context) {
    const { data, options: training } = await trainingOf('progressive-admm', options, context)
    const { retrainEpochs, pruning: schedule, sparsities, updateStatistics, ...choices } = options
    const { sparsity, scope, unit, exclude, stages, values, rho, rhoEnd, updates } = choices
    const learning = { ...training, frozenStatistics: !updateStatistics }
    return pruneByAdmm(expandGrids(model), data, {
      sparsity,
      ...(Object.keys(sparsities).length > 0 ? { sparsities } : {}),
      ...{ scope, unit, exclude, stages, schedule, values, rho, rhoEnd, updates },
      training: learning,
      retraining: { ...learning, epochs: retrainEpochs ?? learning.epochs },
      ...(context.checkpoint ? { checkpoint: context.checkpoint } : {}),
    })
  },
})
