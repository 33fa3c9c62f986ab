/** Options that several of these methods have. */
import type { OptionTable } from '../options.ts'

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
