/**
 * Training that finds out what a network needs: noise is put on weights, or gates before them, and what can bear to be noise or to
 * be closed becomes zero.
 *
 * - `l0`: gates that can be closed, and the expected number of weights in the loss (Louizos et al. 2018, arXiv:1712.01312);
 * - `variational-dropout`: noise on each weight, of a size that is learnt (Molchanov et al. 2017, arXiv:1701.05369);
 * - `bayesian-groups`: noise on each weight and on what the weights of a unit have in common (Louizos et al. 2017,
 *   arXiv:1705.08665, normal-Jeffreys).
 *
 * A unit is a weight; or a filter of a convolution and an input of a dense layer, as in those papers (`input`); or a channel with
 * all that makes it, as `channels` removes it. Tensors keep their sizes: `remove-dead` takes out what nothing is left of,
 * `finetune` trains the rest. Weights that are zero stay zero, and BatchNormalization keeps its statistics.
 */
import { defineMethod } from '../method.ts'
import type { Model } from '../model.ts'
import { expandGrids } from '../quantize/compact.ts'
import { learningOptions } from '../train/learning.ts'
import type { Regime } from '../train/regime.ts'
import { bayesianGroups } from '../train/regimes/bayesian-groups.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { l0 } from '../train/regimes/l0.ts'
import { type GateGroup, inputGates, weightGates } from '../train/regimes/remade-weights.ts'
import { variationalDropout } from '../train/regimes/variational-dropout.ts'
import { train } from '../train/train.ts'
import { freeChannels } from './_free-channels.ts'
import { trainingOf } from './_training.ts'

const learning = learningOptions({ epochs: 20, rate: 0.001 })

export const learnSparsity = defineMethod({
  id: 'learn-sparsity',
  help: 'trains a model further while it learns which weights or units it needs; the others become zero',
  data: 'a training set with labels or targets',
  trains: true,
  options: {
    ...learning,
    optimizer: { ...learning.optimizer, default: 'adam' },
    by: {
      type: 'choice',
      of: ['l0', 'variational-dropout', 'bayesian-groups'],
      default: 'l0',
      help: 'gates that can be closed, noise on each weight, or noise on each unit',
    },
    unit: {
      type: 'choice',
      of: ['weight', 'input', 'channel'],
      optional: true,
      help: 'what becomes zero together: a weight (the default of variational-dropout, which takes no other), a filter of a convolution or an input of a dense layer (the default of the others), or a channel with all that makes it',
    },
    strength: {
      type: 'number',
      default: 1,
      min: 0,
      max: 1e6,
      help: "how much it counts that little is needed: a factor of the paper's term, which is over the number of samples (of l0: its lambda)",
    },
    rise: { type: 'number', default: 0, min: 0, max: 1e6, help: 'epochs over which that term rises to its full size' },
    dropRate: {
      type: 'number',
      default: 0.2,
      min: 0.001,
      max: 0.999,
      value: 'share',
      onlyWith: { by: ['l0'] },
      help: 'for l0: share of the gates that are closed at the start',
    },
    threshold: {
      type: 'number',
      optional: true,
      min: -20,
      max: 20,
      onlyWith: { by: ['variational-dropout', 'bayesian-groups'] },
      help: 'for the other two: what has more noise than this, as the logarithm of its variance over its squared mean, becomes zero (default: 3 for weights, 0 for units)',
    },
  },
  async run(given, { by, unit, strength, rise, dropRate, threshold, ...learning }, context) {
    const { data, options } = await trainingOf('learn-sparsity', learning, context)
    const usual = by === 'variational-dropout' ? 'weight' : 'input'
    const kind = unit ?? usual
    if ((by === 'variational-dropout') !== (kind === 'weight') && by !== 'l0')
      throw new Error(
        `learn-sparsity: ${by} with unit ${kind}; expected unit ${by === 'bayesian-groups' ? 'input or channel' : usual}`,
      )
    const model = expandGrids(given)
    const warmUp = Math.round(rise * Math.floor(data.length / options.batchSize))
    const bound = threshold === undefined ? {} : { threshold }
    const regime = (): Regime => {
      if (by === 'variational-dropout') return variationalDropout({ samples: data.length, strength, warmUp, ...bound })
      const groups = groupsOf(model, kind)
      if (by === 'l0') return l0({ groups, lambda: strength / data.length, dropRate, warmUp })
      return bayesianGroups({ groups, samples: data.length, strength, warmUp, ...bound })
    }
    const { checkpoint } = context
    const trained = await train(model, data, {
      ...options,
      frozenStatistics: true,
      regimes: [regime(), keepZeros()],
      ...(checkpoint ? { checkpoint: { store: checkpoint } } : {}),
    })
    return trained.model
  },
})

function groupsOf(model: Model, unit: 'weight' | 'input' | 'channel'): GateGroup[] {
  if (unit === 'channel') return madeChannels(model)
  return unit === 'weight' ? weightGates(model) : inputGates(model)
}

/** Groups of channels that may go, with what makes them alone. */
function madeChannels(model: Model): GateGroup[] {
  const isStored = (tensor: string): boolean => model.graph.initializers.get(tensor)?.dtype === 'float32'
  const groups = freeChannels(model, (m) => m.role === 'makes' && isStored(m.tensor))
  if (groups.length === 0)
    throw new Error('learn-sparsity: the model has no channels that can be removed; expected unit weight or input')
  return groups
}
