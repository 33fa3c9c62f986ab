/** Choosing samples: subsets, stratified splits, and the order of batches. */

import { sizeOf } from '../tensor/dtype.ts'
import { permutation, random } from '../tensor/random.ts'
import type { Dataset, Field } from './dataset.ts'

/** The samples `indices` of a data set, copied in that order. */
export function subset(dataset: Dataset, indices: ArrayLike<number>, id = dataset.id): Dataset {
  for (let i = 0; i < indices.length; i++) {
    if (!(indices[i] >= 0 && indices[i] < dataset.length)) {
      throw new Error(`${dataset.id}: there is no sample ${indices[i]}; expected 0 to ${dataset.length - 1}`)
    }
  }
  const fields: Record<string, Field> = {}
  const gatherField = (field: Field): Field => {
    const size = sizeOf(field.shape)
    const { strings } = field
    if (strings) return { ...field, strings: gatherStrings(strings, size, indices) }
    return { ...field, data: gather(field.data, size, indices) }
  }
  for (const [name, field] of Object.entries(dataset.fields)) {
    fields[name] = field.constant ? field : gatherField(field)
  }
  const { labels, targets } = dataset
  return {
    ...dataset,
    id,
    length: indices.length,
    fields,
    ...(labels ? { labels: gather(labels, 1, indices) as Int32Array } : {}),
    ...(targets ? { targets: gatherField(targets) } : {}),
  }
}

/** The first `count` samples, or all where there are fewer. */
export function first(dataset: Dataset, count: number): Dataset {
  if (count >= dataset.length) return dataset
  return subset(
    dataset,
    Uint32Array.from({ length: count }, (_, i) => i),
  )
}

function gather(data: Field['data'], size: number, indices: ArrayLike<number>): Field['data'] {
  const out = new (data.constructor as new (length: number) => Field['data'])(indices.length * size)
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i] * size
    out.set(data.subarray(from, from + size), i * size)
  }
  return out
}

function gatherStrings(strings: readonly string[], size: number, indices: ArrayLike<number>): string[] {
  return Array.from(indices).flatMap((index) => strings.slice(index * size, (index + 1) * size))
}

/**
 * Cuts a data set in two, `[rest, heldBack]`, so that each class (where there are labels) gives `share` of its samples
 * to `heldBack`, rounded. Both keep the order of the samples. `share` is within [0, 1].
 */
export function splitDataset(dataset: Dataset, share: number, seed: number): [rest: Dataset, heldBack: Dataset] {
  const { rest, heldBack } = splitIndices(dataset, share, seed)
  return [subset(dataset, rest), subset(dataset, heldBack)]
}

/** The indices that `splitDataset` would take, ascending. */
export function splitIndices(
  dataset: Dataset,
  share: number,
  seed: number,
): { readonly rest: Uint32Array; readonly heldBack: Uint32Array } {
  if (!(share >= 0 && share <= 1)) throw new Error(`split: the share must be within [0, 1], got ${share}`)
  const byClass = new Map<number, number[]>()
  for (const i of permutation(dataset.length, random(seed))) {
    const label = dataset.labels?.[i] ?? 0
    const members = byClass.get(label)
    if (members) members.push(i)
    else byClass.set(label, [i])
  }
  const rest: number[] = []
  const heldBack: number[] = []
  for (const members of byClass.values()) {
    const cut = Math.round(members.length * share)
    members.forEach((index, at) => {
      if (at < cut) heldBack.push(index)
      else rest.push(index)
    })
  }
  return { rest: Uint32Array.from(rest).sort(), heldBack: Uint32Array.from(heldBack).sort() }
}

export interface BatchOptions {
  /** Shuffles the samples; left out, they keep their order. */
  readonly shuffleSeed?: number
  /** Leaves out a last batch that is not full. */
  readonly dropLast?: boolean
}

/** The sample indices of one epoch, `batchSize` at a time. */
export function* batches(
  dataset: { readonly length: number },
  batchSize: number,
  options: BatchOptions = {},
): Generator<Uint32Array> {
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    throw new Error(`batches: the batch size must be a whole number above 0, got ${batchSize}`)
  }
  const { length } = dataset
  const order =
    options.shuffleSeed === undefined
      ? Uint32Array.from({ length }, (_, i) => i)
      : permutation(length, random(options.shuffleSeed))
  const end = options.dropLast ? length - (length % batchSize) : length
  for (let at = 0; at < end; at += batchSize) yield order.subarray(at, Math.min(end, at + batchSize))
}
