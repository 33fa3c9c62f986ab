/**
 * How far a model's outputs are from the original's, as one smooth number that searches can price layers by: the
 * Kullback-Leibler divergence of decisions' scores, and of values the noise as a share of what they vary. A mean over
 * samples, and a sum over outputs.
 */
import type { InputGroup } from '../data/handle.ts'
import type { Value } from '../method.ts'
import { groupKey } from './group-key.ts'
import { type BatchOutput, samplesOf } from './samples.ts'
import { argmax, klDivergence, logitOf, rowsAlong } from './scores.ts'
import { factsOf } from './tally-values.ts'
import { isDecision, type OutputTask, type Task } from './task.ts'

type Outputs = Readonly<Record<string, Value>>

/**
 * The divergence from `reference`, the original's outputs by batch. With `groups`, the random inputs that each
 * batch is of, all outputs are compared as values, and every group counts alike.
 */
export function divergenceFrom(
  reference: readonly Outputs[],
  task: Task,
  groups?: readonly InputGroup[],
): (other: readonly Outputs[]) => number {
  const parts = task.outputs
    .filter((o) => o.kind !== 'ignored')
    .map((o) => (isDecision(o) && !groups ? decided(reference, o) : valued(reference, o, groups)))
  return (other) => parts.reduce((sum, part) => sum + part(other), 0)
}

function cut(outputs: Outputs, { output, batchAxis = 0 }: OutputTask): BatchOutput {
  const fed = outputs[output].dims[batchAxis] ?? 1
  return samplesOf(outputs[output], { fed, count: fed, axis: batchAxis })
}

function decided(reference: readonly Outputs[], task: OutputTask): (other: readonly Outputs[]) => number {
  return (other) => {
    let sum = 0
    let count = 0
    for (const [b, outputs] of reference.entries()) {
      const [p, q] = [cut(outputs, task), cut(other[b], task)]
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
  groups?: readonly InputGroup[],
): (other: readonly Outputs[]) => number {
  const makers = new Map<string, ReturnType<typeof factsOf>>()
  const groupOf = (b: number): string => groupKey(task, groups?.[b])
  for (const [b, outputs] of reference.entries()) {
    const maker = makers.get(groupOf(b)) ?? factsOf(task)
    maker.add(cut(outputs, task))
    makers.set(groupOf(b), maker)
  }
  const facts = new Map([...makers].map(([group, maker]) => [group, maker.finish()]))
  const telling = [...facts.values()].filter((f) => f.isValued && f.variation > 0).length
  return (other) => {
    let sum = 0
    for (const [b, outputs] of reference.entries()) {
      const fact = facts.get(groupOf(b))
      if (!fact?.isValued || fact.variation === 0) continue
      const [p, q] = [cut(outputs, task), cut(other[b], task)]
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
