/** Options that several of these methods have. */
import type { OptionTable } from '../options.ts'
import { distillDefaults } from '../train/regimes/distill.ts'

/** A teacher that is the model itself, as it came in. */
export const ownTeacherChoices = {
  alpha: {
    type: 'number',
    default: 0,
    min: 0,
    max: 1,
    value: 'share',
    help: 'share of the loss that compares outputs with those of the model as it was, instead of labels',
  },
  temperature: {
    type: 'number',
    default: distillDefaults.temperature,
    min: 0.1,
    max: 100,
    help: 'for alpha: higher values count small probabilities more',
  },
} as const satisfies OptionTable

/** What stays of a pruned model. */
export const keepZerosChoice = {
  keep: {
    type: 'choice',
    of: ['zeros', 'none'],
    default: 'zeros',
    value: 'what',
    help: 'zeros: weights that are zero stay zero, so that a pruned model stays pruned; or none',
  },
} as const satisfies OptionTable
