/** Whether accuracy shows that a model knows anything: no loss means much where it is right as often as a guess. */
import type { Dataset } from '../data/dataset.ts'

type Answered = Pick<Dataset, 'classes' | 'targets'>

/** The accuracy of guessing one of the classes that a data set's answers name: per sample, or per position. A share of 1. */
export function chanceOf({ classes, targets }: Answered): number {
  if (classes !== undefined) return 1 / Math.max(2, classes)
  let most = 1
  for (const y of targets?.data ?? []) most = Math.max(most, Number(y))
  return 1 / (most + 1)
}

/** Whether an accuracy, as a share of 1, is clearly above that of guessing: by a tenth of what is left to know. */
export function isAboveChance(accuracy: number, data: Answered): boolean {
  const chance = chanceOf(data)
  return accuracy >= chance + 0.1 * (1 - chance)
}

/** `10.3 % accuracy on digits, chance is 10.0 %`. */
export function accuracyBesideChance(accuracy: number, data: Answered & Pick<Dataset, 'id'>): string {
  return `${(100 * accuracy).toFixed(1)} % accuracy on ${data.id}, chance is ${(100 * chanceOf(data)).toFixed(1)} %`
}

/** What a person should know where a model's best accuracy on test data is that of guessing. */
export function chanceWarnings(accuracies: readonly number[], data: Answered & Pick<Dataset, 'id'>): string[] {
  const best = Math.max(0, ...accuracies)
  if (accuracies.length === 0 || isAboveChance(best, data)) return []
  return [
    `the model has ${accuracyBesideChance(best, data)}, so accuracy shows little: is it the model's own data, with classes numbered as in its training, and its preprocessing?`,
  ]
}
