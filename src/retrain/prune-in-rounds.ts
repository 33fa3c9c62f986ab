/**
 * Pruning in rounds with training in between (Han et al. 2015, arXiv:1506.02626; gradual: Zhu and Gupta 2017,
 * arXiv:1710.01878), as one step: prune/prune-and-train.ts says how the share of zeros rises. Dead units stay: the method
 * remove-dead removes them.
 */
import { defineMethod } from '../method.ts'
import type { OptionsOf, OptionTable } from '../options.ts'
import { magnitude } from '../prune/magnitude.ts'
import { type PruneOptions, pruneAndTrain, pruneSchedules, pruneScores } from '../prune/prune-and-train.ts'
import { expandGrids } from '../quantize/compact.ts'
import { learningOptions } from '../train/learning.ts'
import { trainingOf } from './_training.ts'

export const pruneChoices = {
  sparsity: {
    type: 'number',
    optional: true,
    min: 0,
    max: 1,
    value: 'share',
    help: 'share of the weights that are zero at the end (default: 0.5)',
  },
  quality: {
    type: 'number',
    optional: true,
    min: 0,
    max: 100,
    value: 'q',
    help: 'zero weights below q standard deviations of their tensor, instead of a share',
  },
  sparsities: {
    type: 'numbers-by-name',
    default: {},
    help: 'share of zeros for each named weight, instead of sparsity; weights without a name are left alone',
  },
  // Checked beside quality and shares by name: each tensor has its own there.
  scope: { ...magnitude.options.scope, onlyWith: {} },
  score: {
    type: 'choice',
    of: pruneScores,
    default: 'magnitude',
    value: 'score',
    help: 'how weights are ranked for removal: magnitude, lamp (magnitude relative to the layer; for scope global), taylor, obd, or obs (which also adjusts the remaining weights)',
  },
  diagonal: {
    type: 'choice',
    of: ['fisher', 'hessian'],
    optional: true,
    value: 'from',
    help: "fisher or hessian: how obd estimates the Hessian's diagonal (default: fisher)",
  },
  unit: {
    type: 'choice',
    of: ['element', 'filter'],
    default: 'element',
    value: 'unit',
    help: 'element or filter: whether single weights or whole filters are zeroed',
  },
  pruning: {
    type: 'choice',
    of: pruneSchedules,
    default: 'one-shot',
    value: 'schedule',
    help: 'one-shot, iterative (each round the same share of what is left) or gradual (most in the first rounds, along a cubic)',
  },
  rounds: {
    type: 'number',
    optional: true,
    min: 1,
    max: 1e6,
    integer: true,
    help: 'rounds of iterative and gradual pruning (default: 5), each followed by training',
  },
  finalEpochs: {
    type: 'number',
    optional: true,
    min: 1,
    max: 1e6,
    integer: true,
    help: 'epochs after the last round (default: --epochs)',
  },
  restart: {
    type: 'boolean',
    default: false,
    help: 'before training, replace all remaining weights by new random ones, instead of training them further',
  },
  exclude: magnitude.options.exclude,
} as const satisfies OptionTable

export const pruneInRounds = defineMethod({
  id: 'prune-in-rounds',
  help: 'zeroes weights, at once or in rounds, and trains the others after each',
  data: 'a training set with labels or targets',
  trains: true,
  options: { ...learningOptions({ epochs: 1, rate: 0.01 }), ...pruneChoices },
  async run(model, options, context) {
    const { data, context: inside, options: training } = await trainingOf('prune-in-rounds', options, context)
    const { finalEpochs } = options
    return pruneAndTrain(expandGrids(model), data, {
      ...pruneChoicesOf(options),
      training,
      ...(finalEpochs ? { finalTraining: { ...training, epochs: finalEpochs } } : {}),
      ...(context.checkpoint ? { checkpoint: context.checkpoint } : {}),
      context: inside,
    })
  },
})

/** What `pruneAndTrain` takes for the options of the table, which call each other as `called` says. */
export function pruneChoicesOf(
  options: OptionsOf<typeof pruneChoices>,
  called: (option: string) => string = (option) => option,
): PruneOptions {
  const { sparsities, quality, diagonal, pruning: schedule, rounds = 5 } = options
  const named = Object.keys(sparsities).length > 0
  const ways = [
    ...(options.sparsity === undefined ? [] : ['sparsity']),
    ...(named ? ['sparsities'] : []),
    ...(quality === undefined ? [] : ['quality']),
  ]
  if (ways.length > 1) throw new Error(`${called(ways[1])}: ${called(ways[0])} is given too; expected one of them`)
  if (schedule === 'one-shot' && (options.rounds ?? 1) !== 1)
    throw new Error(
      `${called('rounds')}: "${rounds}" with one-shot pruning, which takes one; expected ${called('pruning')} iterative or gradual with it`,
    )
  return {
    sparsity: options.sparsity ?? 0.5,
    ...(named ? { sparsities } : {}),
    ...(quality === undefined ? {} : { quality }),
    scope: options.scope,
    score: options.score,
    ...(diagonal === undefined ? {} : { diagonal }),
    unit: options.unit,
    schedule,
    rounds,
    restart: options.restart,
    exclude: options.exclude,
  }
}
