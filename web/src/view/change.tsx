/** What a method or a recipe made of the model. */
import { count, sizeDifference, withoutFlags } from '../numbers.ts'
import type { Made, MethodOutcome } from '../work/messages.ts'
import { Download, Scroll } from './parts.tsx'

export function ChangeResult({
  outcome: { onnx, packed, warnings, before, after },
  more,
}: {
  outcome: MethodOutcome
  more?: Made
}) {
  const rows = [
    ['.onnx bytes', before.bytes, after.bytes],
    ['parameters', before.params, after.params],
    ['multiply-adds', before.macs, after.macs],
  ] as const
  return (
    <section class="card" aria-labelledby="changed">
      <h2 id="changed">The result</h2>
      <Scroll label="Before and after">
        <table class="sides">
          <caption class="hidden">Sizes before and after</caption>
          <thead>
            <tr>
              <td />
              <th scope="col">before</th>
              <th scope="col">after</th>
              <th scope="col">change</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([what, from, to]) => (
              <tr key={what}>
                <th scope="row">{what}</th>
                <td>{from === null ? 'not known' : count(from)}</td>
                <td>{to === null ? 'not known' : count(to)}</td>
                <td>{from === null || to === null || from === to ? '' : sizeDifference(from, to).join(' ')}</td>
              </tr>
            ))}
            <tr>
              <th scope="row">packed bytes</th>
              <td />
              <td>{count(packed.bytes.length)}</td>
              <td>{sizeDifference(before.bytes, packed.bytes.length).join(' ')} than the .onnx before</td>
            </tr>
          </tbody>
        </table>
      </Scroll>
      {warnings.length > 0 && (
        <div class="warnings">
          <h3>Worth knowing</h3>
          <ul>
            {warnings.map((warning) => (
              <li key={warning}>{withoutFlags(warning)}</li>
            ))}
          </ul>
        </div>
      )}
      <div class="actions">
        <Download made={onnx} primary />
        <Download made={packed} />
        {more && <Download made={more} what="Recipe" />}
      </div>
    </section>
  )
}
