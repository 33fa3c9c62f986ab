/** The teacher of methods that can have one: the context's, else the model itself, as it came in. */
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import type { OptionsOf, OptionTable } from '../options.ts'
import type { Regime } from '../train/regime.ts'
import { distill, distillDefaults } from '../train/regimes/distill.ts'

export const teacherChoices = {
  alpha: {
    type: 'number',
    optional: true,
    min: 0,
    max: 1,
    value: 'share',
    help: `share of the loss that compares outputs with those of the teacher, or, where there is none, of the model as it was, instead of labels (default: ${distillDefaults.alpha} with a teacher, else 0)`,
  },
  temperature: {
    type: 'number',
    optional: true,
    min: 0.01,
    max: 1000,
    help: `for alpha, of classes and yes or no: higher values count small probabilities more (default: ${distillDefaults.temperature})`,
  },
} as const satisfies OptionTable

/** The regime by which a method learns from its teacher; none where alpha is 0. */
export function taught(
  given: Model,
  { alpha, temperature }: OptionsOf<typeof teacherChoices>,
  { teacher, warn }: Context,
): Regime[] {
  const share = alpha ?? (teacher ? distillDefaults.alpha : 0)
  if (temperature !== undefined && share === 0)
    throw new Error('temperature: nothing is learnt from a teacher; expected alpha above 0 with it')
  if (teacher && share === 0) warn?.('alpha is 0, so nothing is learnt from the teacher')
  return share > 0 ? [distill({ teacher: teacher ?? given, alpha: share, temperature })] : []
}
