/**
 * How far a model's outputs are from the original's, as one smooth number that searches can price layers by: the
 * Kullback-Leibler divergence of decisions' scores, and of values the noise as a share of what they vary. A mean over
 * samples, and a sum over outputs.
 */
import type { InputGroup } from '../data/handle.ts'
import type { Feeds, Value } from '../method.ts'
import { groupKey } from './group-key.ts'
import { paddingMask, withoutPadding } from './padding.ts'
import { type BatchOutput, samplesOf } from './samples.ts'
import { argmax, klDivergence, logitOf, rowsAlong } from './scores.ts'
import { factsOf } from './tally-values.ts'
import { isDecision, type OutputTask, type Task } from './task.ts'

type Outputs = Readonly<Record<string, Value>>

/** What was run: the inputs of each batch, and where they are random, what each is of. */
export interface Ran {
  readonly batches?: readonly Feeds[]
  readonly groups?: readonly InputGroup[]
}

/**
 * The divergence from `reference`, the original's outputs by batch. With `groups` all outputs are compared as values, and every
 * group counts alike.
 */
export function divergenceFrom(
  reference: readonly Outputs[],
  task: Task,
  { batches = [], groups }: Ran = {},
): (other: readonly Outputs[]) => number {
  const masks = batches.map(paddingMask)
  const cut: Cut = (outputs, o, b) => {
    const { output, batchAxis = 0 } = o
    const fed = outputs[output].dims[batchAxis] ?? 1
    return withoutPadding(samplesOf(outputs[output], { fed, count: fed, axis: batchAxis }), masks[b], o)
  }
  const parts = task.outputs
    .filter((o) => o.kind !== 'ignored')
    .map((o) => (isDecision(o) && !groups ? decided(reference, o, cut) : valued(reference, o, cut, groups)))
  return (other) => parts.reduce((sum, part) => sum + part(other), 0)
}

/** An output of a batch, cut into samples, without padding. */
type Cut = (outputs: Outputs, task: OutputTask, batch: number) => BatchOutput

function decided(reference: readonly Outputs[], task: OutputTask, cut: Cut): (other: readonly Outputs[]) => number {
  return (other) => {
    let sum = 0
    let count = 0
    for (const [b, outputs] of reference.entries()) {
      const [p, q] = [cut(outputs, task, b), cut(other[b], task, b)]
      if (!p.float) continue
      const [total, of] = task.axis === undefined ? yesOrNo(p, q, task) : classes(p, q, task)
      sum += total
      count += of
    }
    // NaN where the original has an answer is as far as can be.
    return Number.isNaN(sum) ? Number.POSITIVE_INFINITY : count > 0 ? sum / count : 0
  }
}

function classes(p: BatchOutput, q: BatchOutput, { axis = 1, probabilities = false }: OutputTask): [number, number] {
  const rows = rowsAlong(p.dims, axis)
  let sum = 0
  let count = 0
  for (let i = 0; i < rows.count; i++) {
    const row = rows.at(i)
    const top = argmax(p.data, row)
    // There is no answer to be far from: a sample that the original gives NaN or infinity for.
    if (top < 0 || !Number.isFinite(p.data[row.from + top * row.stride])) continue
    sum += klDivergence(p.data, q.data, row, probabilities)
    count++
  }
  return [sum, count]
}

function yesOrNo(p: BatchOutput, q: BatchOutput, { probabilities = false }: OutputTask): [number, number] {
  let sum = 0
  let count = 0
  for (let i = 0; i < p.data.length; i++) {
    if (!Number.isFinite(p.data[i])) continue
    count++
    const [a, b] = [logitOf(p.data[i], probabilities), logitOf(q.data[i], probabilities)]
    const yes = 1 / (1 + Math.exp(-a))
    // log p / q of yes and of no, where log σ(x) = -softplus(-x).
    sum += yes * (softplus(-b) - softplus(-a)) + (1 - yes) * (softplus(b) - softplus(a))
  }
  return [sum, count]
}

function softplus(x: number): number {
  return x > 30 ? x : Math.log1p(Math.exp(x))
}

/** Noise as a share of the variation, by group, where the output varies at all. */
function valued(
  reference: readonly Outputs[],
  task: OutputTask,
  cut: Cut,
  groups?: readonly InputGroup[],
): (other: readonly Outputs[]) => number {
  const makers = new Map<string, ReturnType<typeof factsOf>>()
  const groupOf = (b: number): string => groupKey(task, groups?.[b])
  for (const [b, outputs] of reference.entries()) {
    const maker = makers.get(groupOf(b)) ?? factsOf(task)
    maker.add(cut(outputs, task, b))
    makers.set(groupOf(b), maker)
  }
  const facts = new Map([...makers].map(([group, maker]) => [group, maker.finish()]))
  const telling = [...facts.values()].filter((f) => f.isValued && f.variation > 0).length
  return (other) => {
    let sum = 0
    for (const [b, outputs] of reference.entries()) {
      const fact = facts.get(groupOf(b))
      if (!fact?.isValued || fact.variation === 0) continue
      const [p, q] = [cut(outputs, task, b), cut(other[b], task, b)]
      for (let s = 0; s < p.samples; s++) {
        for (let j = 0; j < p.size; j++) {
          const at = p.at(s, j)
          const noise = p.data[at] - q.data[at]
          // Of infinite answers (a logarithm of silence) there is no noise; whether they stay so, verdicts tell.
          if (Number.isFinite(noise)) sum += noise ** 2 * fact.weight(j)
        }
      }
    }
    return telling > 0 ? sum / telling : 0
  }
}
