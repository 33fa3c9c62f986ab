/** Checks options that name nodes to keep in float. */
import { didYouMean } from '../errors.ts'
import { graphsOf, nodeName } from '../graph/walk.ts'
import type { Model } from '../model.ts'

/** Throws, with the nearest name, where an option names a node that no graph of the model has. */
export function checkNodeNames(model: Model, names: readonly string[], subject: string): void {
  const known = new Set([...graphsOf(model)].flatMap((g) => g.nodes.map(nodeName)))
  const wrong = names.find((name) => !known.has(name))
  if (wrong === undefined) return
  throw new Error(`${subject}: excludeNodes has "${wrong}", which is no node of the model${didYouMean(wrong, known)}`)
}
