/** The decisions that an output makes, as classes, and by what margins. */
import type { BatchOutput } from './samples.ts'
import { argmax, logitOf, marginOf, rankOf, rowsAlong } from './scores.ts'
import { isYesOrNo, type OutputTask } from './task.ts'

/** No whole number that a model gives for something: -1 may be a class. */
export const none = -(2 ** 31)

/** Decisions of a batch, sample by sample; `positions` of them each. */
export interface Decisions {
  /** `none` where it decides nothing: no number, or padding. */
  readonly classes: Int32Array
  readonly positions: number
  /** How far above 0 the decision for a class stands: negative where another class wins. Undefined without scores. */
  margin?(at: number, label: number): number
  /** How many classes score higher, where there are more than five. */
  rank?(at: number, label: number): number
}

export function decisionsOf(out: BatchOutput, task: OutputTask): Decisions {
  const { data, dims, samples, size, at } = out
  const { axis, probabilities = false } = task
  const yesOrNo = isYesOrNo(task)
  if (axis === undefined && !yesOrNo) {
    const value = (i: number): number => data[at(Math.floor(i / size), i % size)]
    const classes = Int32Array.from({ length: samples * size }, (_, i) => (Number.isNaN(value(i)) ? none : value(i)))
    return { classes, positions: size }
  }
  if (axis === undefined) {
    const logit = (i: number): number => logitOf(data[at(Math.floor(i / size), i % size)], probabilities)
    return {
      classes: Int32Array.from({ length: samples * size }, (_, i) =>
        Number.isNaN(logit(i)) ? none : Number(logit(i) > 0),
      ),
      positions: size,
      margin: (i, label) => (label === 1 ? logit(i) : -logit(i)),
    }
  }
  const rows = rowsAlong(dims, axis)
  // Rows come sample by sample: the axis of samples is the first, or the only one beside that of the classes.
  const positions = samples <= 1 ? rows.count : Math.max(1, Math.round(size / (dims[axis] || 1)))
  const count = Math.min(rows.count, samples * positions)
  const decided = (i: number): number => {
    const top = argmax(data, rows.at(i))
    return top < 0 ? none : top
  }
  return {
    classes: Int32Array.from({ length: count }, (_, i) => decided(i)),
    positions,
    margin: (i, label) => marginOf(data, rows.at(i), label, probabilities),
    ...(dims[axis] > 5 ? { rank: (i: number, label: number) => rankOf(data, rows.at(i), label) } : {}),
  }
}
