/** Which inputs an output is judged on together. */
import type { InputGroup } from '../data/handle.ts'
import { isDecision, type OutputTask } from './task.ts'

/**
 * The name of a group's inputs for one output. Scores behind decisions hardly differ from one flat picture or sound of noise to the
 * next, and what they differ by decides nothing: noise is judged together with the signals of its range. Vectors of features that
 * have nothing to do with each other are as usual as others.
 */
export function groupKey(task: OutputTask, group: InputGroup | undefined): string {
  if (!group) return ''
  const inputs = group.length === undefined ? group.range : `${group.range}, ${group.length} long`
  return group.isNoise && (group.isVector || !isDecision(task)) ? `${inputs} (flat noise)` : inputs
}
