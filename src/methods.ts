/** Every method by its id, merged from the family tables. */
import { didYouMean } from './errors.ts'
import * as factorize from './factorize/index.ts'
import type { Method } from './method.ts'
import * as prune from './prune/index.ts'
import * as quantize from './quantize/index.ts'
import * as retrain from './retrain/index.ts'
import * as simplify from './simplify/index.ts'

/** Sorted by family, in the order of the tables. */
export const methods: ReadonlyMap<string, Method> = new Map(
  // A method's own option types are narrower than what a recipe holds; it checks them itself.
  [simplify, prune, factorize, quantize, retrain].flatMap(Object.values).map((m) => [(m as Method).id, m as Method]),
)

/** The method of that id, or that had it in recipes of before. Throws, with the nearest id, where there is none. */
export function methodNamed(id: string): Method {
  const method = methods.get(id) ?? [...methods.values()].find(({ was }) => was === id)
  if (method) return method
  throw new Error(
    `method: there is none named "${id}"${didYouMean(id, methods.keys())}; expected ${[...methods.keys()].join(', ')}`,
  )
}
