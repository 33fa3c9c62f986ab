/**
 * Positions of a sequence that only fill it up to the length of others. Their answers are read by nobody, and are often the same
 * for all samples, so that counted in they would hide what is lost of the others.
 */
import type { Feeds, Value } from '../method.ts'
import type { BatchOutput } from './samples.ts'
import type { OutputTask } from './task.ts'

/** The name that exporters give the input which is 1 where a position counts. Other masks mean the opposite, or something else. */
const maskName = /attention_?mask|input_?mask/i

/** The mask of a call: [samples, positions]; undefined where no input is one, or all positions count. */
export function paddingMask(feeds: Feeds): Value | undefined {
  for (const [name, value] of Object.entries(feeds)) {
    if (!maskName.test(name) || value.dims.length !== 2) continue
    if (Array.prototype.some.call(value.data, (v) => Number(v) === 0)) return value
  }
  return undefined
}

/** An output without them: NaN, which judging leaves out. As it is where its second axis is not that of the positions. */
export function withoutPadding(out: BatchOutput, mask: Value | undefined, { axis }: OutputTask): BatchOutput {
  const [samples, positions] = mask?.dims ?? []
  if (!mask || positions < 2 || axis === 1 || out.dims[0] !== samples || out.dims[1] !== positions) return out
  const width = out.data.length / (samples * positions)
  const data = out.data.slice()
  for (let i = 0; i < samples * positions; i++)
    if (Number(mask.data[i]) === 0) data.fill(Number.NaN, i * width, (i + 1) * width)
  return { ...out, data }
}
