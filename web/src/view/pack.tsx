/** Packing and unpacking alone: the same model in fewer bytes, and back. */
import { useState } from 'preact/hooks'
import { count, sizeDifference } from '../numbers.ts'
import { busy, model, pack, packed, unpack } from '../state.ts'
import type { ModelSummary } from '../work/messages.ts'
import { Download, Failure, JobView } from './parts.tsx'

const modes = [
  ['fast', 'fast'],
  ['default', 'usual'],
  ['max', 'smallest'],
] as const

export function PackView() {
  const { summary } = model.value as { summary: ModelSummary }
  const [mode, setMode] = useState<(typeof modes)[number][0]>('default')
  const made = packed.value
  if (summary.packed)
    return (
      <section class="card">
        <h2>Unpack</h2>
        <p>Gives back the .onnx file that was packed: every tensor bit for bit, the same graph.</p>
        <div class="actions">
          <button type="button" class="primary" onClick={unpack} disabled={busy.value}>
            Unpack
          </button>
        </div>
        <JobView />
        <Failure place="pack" />
        {made && <Result />}
      </section>
    )
  return (
    <section class="card">
      <h2>Pack</h2>
      <p>
        Stores the model in fewer bytes and loses nothing: every tensor comes back bit for bit. A page or Node loads the
        .cop file with ONNX Runtime and <code>coppice/runtime</code>.
      </p>
      <fieldset class="choices" disabled={busy.value}>
        <legend>How hard to try</legend>
        {modes.map(([id, name]) => (
          <label key={id}>
            <input type="radio" name="mode" checked={mode === id} onChange={() => setMode(id)} /> {name}
          </label>
        ))}
      </fieldset>
      <div class="actions">
        <button type="button" class="primary" onClick={() => pack(mode)} disabled={busy.value}>
          Pack
        </button>
      </div>
      <JobView />
      <Failure place="pack" />
      {made && <Result />}
    </section>
  )
}

function Result() {
  if (!packed.value) return null
  const { made, before } = packed.value
  const [amount, what] = sizeDifference(before, made.blob.size)
  return (
    <div class="result">
      <p>
        <strong class="figure">{amount}</strong> {what}: {count(before)} bytes before, {count(made.blob.size)} after
      </p>
      <Download made={made} primary />
    </div>
  )
}
