/** A recipe whose steps learn from a teacher names it by a checksum, so that it is made again with that one alone. */
import { methodNamed } from '../methods.ts'
import type { Model } from '../model.ts'
import { modelFingerprint } from '../onnx/fingerprint.ts'
import type { Recipe, Step } from '../recipe.ts'

/** What a recipe says of the teacher that its steps had, if any of them learns from one. */
export function teacherOf(steps: readonly Step[], teacher: Model | undefined): Pick<Recipe, 'teacher'> {
  const learns = steps.some(([id, options]) => methodNamed(id).teacher && options.alpha !== 0)
  return teacher && learns ? { teacher: teacherSum(teacher) } : {}
}

export function teacherSum(teacher: Model): string {
  return modelFingerprint(teacher).toString(16).padStart(8, '0')
}

/** Throws one sentence where a teacher is none that the recipe names, or is missing. */
export function checkTeacher(named: string | undefined, teacher: Model | undefined): void {
  const given = teacher && teacherSum(teacher)
  if (given === named) return
  if (!given)
    throw new Error(`recipe: its steps learn from a teacher (${named}), and none is given; expected a teacher`)
  throw new Error(
    `recipe: the teacher that is given is ${given}; expected ${named ?? 'none, as its steps learn from none'}`,
  )
}
