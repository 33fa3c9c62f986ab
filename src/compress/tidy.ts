/**
 * What is done to a model before anything is quantised. It changes no output: what exporters left is removed (notes, unused
 * weights, second copies), weights come to where quantisers find them (sparse ones become dense, local functions are put in
 * place of their calls, what constants alone compute is stored), and BatchNormalization is folded into the layers before it.
 */

import { storedBytes, tensorsOf } from '../graph/walk.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { count } from '../numbers.ts'
import { runSteps, type Step } from '../recipe.ts'
import { withoutNotes } from '../simplify/strip-notes.ts'

export interface Tidied {
  readonly model: Model
  /** The methods that changed something. */
  readonly steps: readonly Step[]
  /** What was removed, one sentence each. */
  readonly notes: readonly string[]
}

/** A method of tidying, and what a report says of what it changed. */
interface Tidying {
  readonly id: string
  readonly told?: (before: Model, after: Model) => readonly string[]
}

const tidyings: readonly Tidying[] = [
  { id: 'densify', told: toldOfSparse },
  { id: 'strip-notes', told: toldOfNotes },
  { id: 'remove-unused', told: toldOfUnused },
  { id: 'inline-functions' },
  { id: 'fold-weights' },
  { id: 'merge-duplicates', told: removed('merged', 'stored again') },
  { id: 'fold-batch-norm' },
]

export async function tidy(
  given: Model,
  { keepMetadata = false, ...context }: Pick<Context, 'warn'> & { readonly keepMetadata?: boolean } = {},
): Promise<Tidied> {
  const steps: Step[] = []
  const notes: string[] = []
  let model = given
  for (const { id, told } of tidyings) {
    if (id === 'strip-notes' && keepMetadata) continue
    const step: Step = [id, {}]
    const next = await runSteps(model, [step], { warn: context.warn })
    if (next === model) continue
    steps.push(step)
    notes.push(...(told?.(model, next) ?? []))
    model = next
  }
  return { model, steps, notes }
}

const countTensors = (model: Model): number => [...tensorsOf(model)].length

function toldOfSparse(before: Model, after: Model): string[] {
  const n = countTensors(before) - countTensors(after)
  return [`stored ${tensors(n)} densely that ${n === 1 ? 'was' : 'were'} sparse`]
}

function toldOfNotes(before: Model, after: Model): string[] {
  const { bytes } = withoutNotes(before)
  return [
    ...(bytes > 0 ? [`removed ${count(bytes)} bytes of exporter notes (stack traces, class names, paths)`] : []),
    ...(before.training && !after.training ? ['removed the graphs of training, which no longer fit the weights'] : []),
  ]
}

/** Inputs that are named at most. */
const mostNamed = 5

function toldOfUnused(before: Model, after: Model): string[] {
  const told = removed('removed', 'that nothing reads')(before, after)
  const left = new Set(after.graph.inputs.map((i) => i.name))
  const names = before.graph.inputs.map((i) => i.name).filter((name) => !left.has(name))
  // Before version 4 all weights were listed as inputs, and runtimes took them for constants.
  if (before.irVersion < 4 || names.length === 0) return told
  const which = names.length === 1 ? 'an input' : `${count(names.length)} inputs`
  const listed = names.slice(0, mostNamed).join(', ') + (names.length > mostNamed ? ', …' : '')
  return [...told, `${which} that had a stored value can no longer be fed: ${listed}`]
}

/** Says how many tensors fewer there are, and their bytes. */
function removed(verb: string, which: string) {
  return (before: Model, after: Model): string[] => {
    const n = countTensors(before) - countTensors(after)
    const bytes = storedBytes(before) - storedBytes(after)
    return n > 0 ? [`${verb} ${tensors(n)} ${which}, ${count(bytes)} bytes`] : []
  }
}

function tensors(n: number): string {
  return n === 1 ? '1 tensor' : `${count(n)} tensors`
}
