/**
 * Sparse training: the network learns while whole channels are shrunk to zero, so that removing them afterwards costs little.
 * A channel counts with all that is coupled to it, as `channels` removes it (DepGraph, Fang et al. 2023, arXiv:2301.12900).
 *
 * - `group-lasso`: λ · √n · ‖w‖ of each channel's n weights is added to the loss (Wen et al. 2016, arXiv:1608.03665);
 * - `growing`: λ_u/2 · ‖w_u‖², where λ_u grows after each epoch by up to `strength`, most for the smallest channels of a group
 *   (Wang et al. 2021, arXiv:2012.09243).
 *
 * The network keeps its size: `channels` with score `magnitude` removes the channels that became small, and `finetune` trains the others.
 */
import { defineMethod } from '../method.ts'
import { expandGrids } from '../quantize/compact.ts'
import { learningOptions } from '../train/learning.ts'
import type { Regime } from '../train/regime.ts'
import { groupLasso } from '../train/regimes/group-lasso.ts'
import { growingPenalty } from '../train/regimes/growing-penalty.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { train } from '../train/train.ts'
import { freeChannels } from './_free-channels.ts'
import { trainingOf } from './_training.ts'

export const trainSparse = defineMethod({
  id: 'train-sparse',
  help: 'trains a model further while whole channels shrink to zero, before `channels` removes them',
  data: 'a training set with labels or targets',
  trains: true,
  options: {
    ...learningOptions({ epochs: 5, rate: 0.01 }),
    penalty: {
      type: 'choice',
      of: ['group-lasso', 'growing'],
      default: 'group-lasso',
      help: 'what is added to the loss: the norm of each channel, or its square with a factor that grows for the smallest',
    },
    strength: {
      type: 'number',
      default: 1e-4,
      min: 0,
      max: 1e3,
      help: 'the factor of group-lasso; of growing, by how much that of the smallest channel of a group grows per epoch, above 0',
    },
    updateStatistics: {
      type: 'boolean',
      default: false,
      help: 'update BatchNormalization statistics from the data; by default they are kept',
    },
  },
  async run(given, { penalty, strength, updateStatistics, ...learning }, context) {
    const { data, options } = await trainingOf('train-sparse', learning, context)
    const model = expandGrids(given)
    const { initializers } = model.graph
    const groups = freeChannels(model, (m) => m.role !== 'passes' && initializers.has(m.tensor))
    if (groups.length === 0) {
      context.warn?.('train-sparse: the model has no channels that can be removed; it is trained without a penalty')
    }
    const every = Math.max(1, Math.floor(data.length / options.batchSize))
    const regime = (): Regime =>
      penalty === 'growing'
        ? growingPenalty({ groups, start: 0, growth: strength, every })
        : groupLasso({ groups, lambda: strength })
    const { checkpoint } = context
    const trained = await train(model, data, {
      ...options,
      frozenStatistics: !updateStatistics,
      regimes: [...(groups.length > 0 ? [regime()] : []), keepZeros()],
      ...(checkpoint ? { checkpoint: { store: checkpoint } } : {}),
    })
    return trained.model
  },
})
