/** Compressing: small or fast, one slider for the loss, and the result. */
import { compressTable } from 'coppice'
import { useState } from 'preact/hooks'
import { withoutFlags } from '../numbers.ts'
import { busy, compress, compressed, data, said } from '../state.ts'
import { DataPart } from './data.tsx'
import { OptionForm, readTexts, type Texts } from './options.tsx'
import { Failure, JobView } from './parts.tsx'
import { CompressResult } from './result.tsx'

/** Where the slider stands: points of accuracy, and what that is as noise of outputs that are numbers. */
const losses = [0.1, 0.2, 0.5, 1, 2, 5]
const usual = losses.indexOf(Number(compressTable.maxLoss.default))

/** Options that have a place of their own above, or none on a page. */
const { goal: _goal, maxLoss: _loss, seed: _seed, ...others } = compressTable

export function CompressView() {
  const [goal, setGoal] = useState<'size' | 'speed'>('size')
  const [at, setAt] = useState(usual)
  const [texts, setTexts] = useState<Texts>({})
  const { words, wrong } = readTexts(others, texts)
  const loss = losses[at]
  // Twice the points stand for twice the noise (docs/judging.md).
  const noise = Math.round(30 - 20 * Math.log10(loss / 0.5))
  return (
    <>
      <section class="card">
        <h2>Compress</h2>
        <fieldset class="choices big" disabled={busy.value}>
          <legend>Make it</legend>
          <label>
            <input type="radio" name="goal" checked={goal === 'size'} onChange={() => setGoal('size')} />
            <span>
              <strong>small</strong> a fraction of the bytes to download
            </span>
          </label>
          <label>
            <input type="radio" name="goal" checked={goal === 'speed'} onChange={() => setGoal('speed')} />
            <span>
              <strong>fast</strong> integers where they are faster here
            </span>
          </label>
        </fieldset>
        <div class="slider">
          <label for="loss">What it may lose</label>
          <input
            id="loss"
            type="range"
            min={0}
            max={losses.length - 1}
            step={1}
            value={at}
            disabled={busy.value}
            aria-valuetext={`at most ${loss} ${loss === 1 ? 'point' : 'points'} of accuracy`}
            onInput={(e) => setAt(Number(e.currentTarget.value))}
          />
          <output for="loss">
            at most{' '}
            <strong>
              {loss} {loss === 1 ? 'point' : 'points'}
            </strong>{' '}
            of accuracy; of outputs that are numbers, noise {noise} dB below them
          </output>
        </div>
        <DataPart />
        {!data.value && (
          <p class="soft">Without data the loss is judged on random inputs, which yours may not resemble.</p>
        )}
        <details>
          <summary>More options</summary>
          <OptionForm id="compress" table={others} texts={texts} onChange={setTexts} disabled={busy.value} />
        </details>
        <div class="actions">
          <button
            type="button"
            class="primary"
            disabled={busy.value || Object.keys(wrong).length > 0}
            onClick={() => compress({ ...words, goal, maxLoss: String(loss) })}
          >
            Compress
          </button>
        </div>
        <JobView />
        {busy.value && said.value.length > 0 && (
          <ul class="soft notes">
            {said.value.map((sentence) => (
              <li key={sentence}>{withoutFlags(sentence)}</li>
            ))}
          </ul>
        )}
        <Failure place="compress" />
      </section>
      {compressed.value && <CompressResult />}
    </>
  )
}
