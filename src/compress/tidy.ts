/**
 * What is done to a model before anything is quantised, and changes no output: what exporters left in it goes (notes, unused
 * weights, second copies), weights come to where quantisers find them (sparse ones become dense, local functions are put in
 * place of their calls, what constants alone compute is stored), and BatchNormalization is folded into the layers before it.
 */

import { storedBytes, tensorsOf } from '../graph/walk.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { settleWeights } from '../quantize/settle-weights.ts'
import type { Step } from '../recipe.ts'
import { densify } from '../simplify/densify.ts'
import { foldBatchNorm } from '../simplify/fold-batch-norm.ts'
import { inlineFunctions } from '../simplify/inline-functions.ts'
import { mergeDuplicates, withoutDuplicates } from '../simplify/merge-duplicates.ts'
import { removeUnused } from '../simplify/remove-unused.ts'
import { stripNotes, withoutNotes } from '../simplify/strip-notes.ts'

export interface Tidied {
  readonly model: Model
  /** The methods that changed something. */
  readonly steps: readonly Step[]
  /** What went, one sentence each. */
  readonly notes: readonly string[]
}

export async function tidy(
  given: Model,
  { keepMetadata = false, ...context }: Pick<Context, 'warn'> & { readonly keepMetadata?: boolean } = {},
): Promise<Tidied> {
  const steps: Step[] = []
  const notes: string[] = []
  let model = await densify(given)
  if (model !== given) {
    steps.push([densify.id, {}])
    const count = [...tensorsOf(given)].length - [...tensorsOf(model)].length
    notes.push(`stored ${tensors(count)} densely that ${count === 1 ? 'was' : 'were'} sparse`)
  }
  if (!keepMetadata) {
    const { model: noteless, bytes } = withoutNotes(model)
    if (noteless !== model) steps.push([stripNotes.id, {}])
    if (bytes > 0) notes.push(`removed ${count(bytes)} bytes of exporter notes (stack traces, class names, paths)`)
    if (model.training && !noteless.training)
      notes.push('removed the graphs of training, which no longer fit the weights')
    model = noteless
  }
  const used = await removeUnused(model)
  steps.push([removeUnused.id, {}])
  const [before, after] = [[...tensorsOf(model)].length, [...tensorsOf(used)].length]
  if (after < before)
    notes.push(
      `removed ${tensors(before - after)} that nothing reads, ${count(storedBytes(model) - storedBytes(used))} bytes`,
    )
  let plain = used
  for (const method of [inlineFunctions, settleWeights]) {
    const next = await method(plain, {}, context)
    if (next !== plain) steps.push([method.id, {}])
    plain = next
  }
  const merged = withoutDuplicates(plain)
  if (merged.count > 0) {
    steps.push([mergeDuplicates.id, {}])
    notes.push(`merged ${tensors(merged.count)} stored again, ${count(merged.bytes)} bytes`)
  }
  steps.push([foldBatchNorm.id, {}])
  return { model: await foldBatchNorm(merged.model, {}, context), steps, notes }
}

function tensors(n: number): string {
  return n === 1 ? '1 tensor' : `${count(n)} tensors`
}

function count(n: number): string {
  return n.toLocaleString('en-US')
}
