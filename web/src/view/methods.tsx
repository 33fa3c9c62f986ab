/** Any method alone, by the form that its option table makes. */
import { useEffect, useState } from 'preact/hooks'
import { textFile } from '../files.ts'
import { applyMethod, busy, changed, curve, fail, loadMethods, methodList, seed } from '../state.ts'
import { ChangeResult } from './change.tsx'
import { Curves } from './curves.tsx'
import { DataPart } from './data.tsx'
import { OptionForm, readTexts, type Texts } from './options.tsx'
import { Failure, JobView } from './parts.tsx'

export function MethodsView() {
  const [id, setId] = useState('')
  const [texts, setTexts] = useState<Texts>({})
  useEffect(() => {
    loadMethods().catch((error) => fail('method', error))
  }, [])
  const method = methodList.value.find((m) => m.id === id)
  const { words, wrong } = method ? readTexts(method.options, texts) : { words: {}, wrong: {} }
  const step = changed.value?.step
  return (
    <>
      <section class="card">
        <h2>One method</h2>
        <div class="option">
          <label for="method">Method</label>
          <select
            id="method"
            value={id}
            disabled={busy.value}
            onChange={(e) => {
              setId(e.currentTarget.value)
              setTexts({})
              changed.value = undefined
              curve.value = []
            }}
          >
            <option value="">choose one of {methodList.value.length}</option>
            {methodList.value.map((m) => (
              <option value={m.id} key={m.id}>
                {m.id}
              </option>
            ))}
          </select>
          {method && <small>It {method.help}.</small>}
        </div>
        {method && (
          <>
            <OptionForm id="method" table={method.options} texts={texts} onChange={setTexts} disabled={busy.value} />
            {method.data && <DataPart needed={`It looks at data: ${method.data}`} />}
            <div class="actions">
              <button
                type="button"
                class="primary"
                disabled={busy.value || Object.keys(wrong).length > 0}
                onClick={() => applyMethod(method.id, words)}
              >
                Apply
              </button>
            </div>
          </>
        )}
        <JobView />
        <Curves />
        <Failure place="method" />
      </section>
      {changed.value && (
        <ChangeResult
          outcome={changed.value}
          more={step && textFile('recipe.json', `${JSON.stringify({ coppice: 1, seed, steps: [step] }, null, 2)}\n`)}
        />
      )}
    </>
  )
}
