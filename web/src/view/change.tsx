/** What a method or a recipe made of the model. */
import { count, sizeDifference } from '../numbers.ts'
import type { Made, MethodOutcome } from '../work/messages.ts'
import { Download, Sides, Warnings } from './parts.tsx'

export function ChangeResult({
  outcome: { onnx, packed, warnings, before, after, parts },
  more,
}: {
  outcome: MethodOutcome
  more?: Made
}) {
  const told = (n: number | null): string => (n === null ? 'not known' : count(n))
  const sizes = [
    ['.onnx bytes', before.bytes, after.bytes],
    ...parts,
    ['parameters', before.params, after.params],
    ['multiply-adds', before.macs, after.macs],
  ] as const
  const rows = sizes.map(([what, from, to]) => ({
    what,
    before: told(from),
    after: told(to),
    change: from === null || to === null || from === to ? '' : sizeDifference(from, to).join(' '),
  }))
  const ofPacked = {
    what: 'packed bytes',
    after: count(packed.blob.size),
    change: `${sizeDifference(before.bytes, packed.blob.size).join(' ')} than the .onnx before`,
  }
  return (
    <section class="card" aria-labelledby="changed">
      <h2 id="changed">The result</h2>
      <Sides what="Sizes" rows={[...rows, ofPacked]} />
      <Warnings warnings={warnings} />
      <div class="actions">
        <Download made={onnx} primary />
        <Download made={packed} />
        {more && <Download made={more} what="Recipe" />}
      </div>
    </section>
  )
}
