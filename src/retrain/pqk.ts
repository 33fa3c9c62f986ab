/**
 * PQK (Kim, Chang & Kwak 2021, arXiv:2106.14681): pruning and quantisation in one training, with what was pruned as the teacher.
 *
 * In the first phase (`epochs`) weights and activations are rounded as `train-quantised` rounds them, and the share of weights that
 * are zero rises along a cubic. Gradients reach pruned weights too, so that the mask can change until the phase ends. In the second
 * (`teacherEpochs`) the mask stays, and the same network with its pruned weights put back teaches the pruned one; no teacher has to
 * be trained before. train/regimes/soft-mask.ts has the formulas. The teacher is dropped in the end.
 *
 * Of the paper we had the abstract alone: that both networks learn at once, the temperature and the lengths of the phases are
 * choices of ours. The teacher's BatchNormalization is by the statistics of each batch. It is no good teacher at first, so more `alpha`
 * or a higher temperature can do harm.
 * With `alpha` 0 the second phase has no teacher, for comparison.
 */
import { defineMethod } from '../method.ts'
import type { OptionTable } from '../options.ts'
import { magnitude } from '../prune/magnitude.ts'
import { learningOptions } from '../train/learning.ts'
import { storedWeights } from '../train/regimes/remade-weights.ts'
import { softMask } from '../train/regimes/soft-mask.ts'
import { train } from '../train/train.ts'
import { integerChoices, prepareQuantised, quantiserChoices } from './_quantised.ts'
import { trainingOf } from './_training.ts'

const choices = {
  teacherEpochs: {
    type: 'number',
    optional: true,
    min: 0,
    max: 1e6,
    integer: true,
    value: 'epochs',
    help: 'epochs of the second phase, after `epochs` of the first (default: as many)',
  },
  sparsity: { ...magnitude.options.sparsity, default: 0.8 },
  scope: magnitude.options.scope,
  exclude: magnitude.options.exclude,
  rise: {
    type: 'number',
    default: 0.75,
    min: 0,
    max: 1,
    value: 'share',
    help: 'share of the first phase over which the share of zeros rises',
  },
  updates: {
    type: 'number',
    default: 10,
    min: 1,
    max: 1e6,
    integer: true,
    help: 'how often in an epoch of the first phase it is decided anew which weights are zero',
  },
  freezeAfter: {
    type: 'number',
    default: 0.75,
    min: 0,
    max: 1,
    value: 'share',
    help: 'share of all epochs after which BatchNormalization keeps its statistics',
  },
  alpha: {
    type: 'number',
    default: 0.5,
    min: 0,
    max: 100,
    help: "how much the teacher's answers count beside labels in the second phase; 0: there is no teacher",
  },
  temperature: {
    type: 'number',
    optional: true,
    min: 0.1,
    max: 100,
    onlyWith: { alpha: 'above 0' },
    help: 'for the teacher: higher values count small probabilities more (default: 2; not for numbers)',
  },
} as const satisfies OptionTable

export const pqk = defineMethod({
  id: 'pqk',
  help: 'prunes and quantises a model while it trains, then trains it further with what was pruned as its teacher',
  data: 'a training set with labels or targets',
  trains: true,
  options: {
    ...learningOptions({ epochs: 5, rate: 0.01 }),
    ...choices,
    ...quantiserChoices,
    // The others have no level at zero, or more weights there than were pruned.
    weights: {
      ...quantiserChoices.weights,
      of: ['lsq', 'straight-through'],
      help: 'how weights are rounded: lsq (learnt step) or straight-through (step from the largest weight)',
    },
    ...integerChoices,
  },
  async run(given, settings, context) {
    const { data, context: inside, options } = await trainingOf('pqk', settings, context)
    const {
      epochs,
      teacherEpochs = epochs,
      sparsity,
      scope,
      exclude,
      rise,
      updates,
      alpha,
      temperature,
      freezeAfter,
    } = settings
    const { model, quantising } = await prepareQuantised('pqk', given, { settings, context: inside })
    const weights = storedWeights('pqk', model).map((w) => w.name)
    const unknown = exclude.find((name) => !weights.includes(name))
    if (unknown !== undefined)
      throw new Error(
        `pqk: exclude names "${unknown}", which is no weight of the model; expected ${weights.join(', ')}`,
      )
    const trained = await train(model, data, {
      ...options,
      epochs: epochs + teacherEpochs,
      frozenStatistics: Math.round(freezeAfter * (epochs + teacherEpochs)),
      regimes: [
        quantising,
        softMask({
          names: weights.filter((name) => !exclude.includes(name)),
          ...{ sparsity, scope, epochs, rise, updates, alpha, temperature },
          stepsPerEpoch: Math.floor(data.length / options.batchSize),
        }),
      ],
      ...(context.checkpoint ? { checkpoint: { store: context.checkpoint } } : {}),
    })
    return trained.model
  },
})
