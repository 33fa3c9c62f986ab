/** One output of a batch, cut into samples. */

import { isStrings } from '../data/batch-axis.ts'
import type { Value } from '../method.ts'
import { floatValues } from '../tensor/dtype.ts'
import { rowsAlong } from './scores.ts'

export interface BatchOutput {
  /** Its elements as numbers: whole numbers of 64 bits too, and texts by a number for each. */
  readonly data: Float32Array | Float64Array
  /** Whether they are floats. */
  readonly float: boolean
  readonly dims: readonly number[]
  /** Samples in it that count. */
  readonly samples: number
  /** Elements of one sample. */
  readonly size: number
  /** Where element `j` of sample `s` lies. */
  at(s: number, j: number): number
}

/**
 * The samples of an output of a call that was fed `fed` samples, of which `count` count. An output whose axis of samples
 * is not as long holds rows for each of them, or belongs to the call as a whole: then it is one sample.
 */
export function samplesOf(
  value: Value,
  { fed, count, axis = 0 }: { fed: number; count: number; axis?: number },
): BatchOutput {
  const { dims, dtype } = value
  const texts = isStrings(value.data)
  const floats = isStrings(value.data) ? undefined : floatValues({ dtype, data: value.data })
  const float = floats !== undefined
  const data = floats ?? Float64Array.from(value.data as ArrayLike<number>, texts ? numberOfText : Number)
  const total = data.length
  const length = dims[axis] ?? 1
  if (fed > 1 && axis > 0 && length === fed) {
    const inner = dims.slice(axis + 1).reduce((a, b) => a * b, 1)
    const stride = inner * fed
    const at = (s: number, j: number): number => Math.floor(j / inner) * stride + s * inner + (j % inner)
    return { data, float, dims, samples: count, size: total / fed, at }
  }
  const samples = fed > 1 && total % fed === 0 && length % fed === 0 ? fed : 1
  const size = total / samples
  return { data, float, dims, samples: samples === 1 ? 1 : count, size, at: (s, j) => s * size + j }
}

/**
 * Scores of classes without what all of one set have in common, which decides nothing: neither the largest of them nor their softmax
 * changes with it. Scores that are not finite stay as they are.
 */
export function withoutCommon(out: BatchOutput, axis: number): BatchOutput {
  const rows = rowsAlong(out.dims, axis)
  // Behind a mask a score is 1e8 or more below the others, beside which float32 has nothing left of them.
  const data = Float64Array.from(out.data)
  for (let i = 0; i < rows.count; i++) {
    const { from, width, stride } = rows.at(i)
    let sum = 0
    let finite = 0
    for (let c = 0, at = from; c < width; c++, at += stride) {
      if (!Number.isFinite(data[at])) continue
      sum += data[at]
      finite++
    }
    if (finite < 2) continue
    for (let c = 0, at = from; c < width; c++, at += stride) data[at] -= sum / finite
  }
  return { ...out, data }
}

/** The same number for the same text (FNV-1a). */
function numberOfText(text: unknown): number {
  let hash = 0x811c9dc5
  for (const c of String(text)) hash = Math.imul(hash ^ (c.codePointAt(0) as number), 0x01000193)
  return hash
}
