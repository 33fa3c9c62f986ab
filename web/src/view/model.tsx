/** The model: how it gets here, and what is in it. */
import { useState } from 'preact/hooks'
import { chooseFiles } from '../files.ts'
import { count, large, percent, size } from '../numbers.ts'
import { busy, closeModel, fail, model, openModel } from '../state.ts'
import type { Chosen, ModelSummary } from '../work/messages.ts'
import { DropZone, Failure, JobView, Scroll } from './parts.tsx'

export function ModelDrop() {
  const choose = async () => {
    try {
      const files = await chooseFiles({ description: 'Models', extensions: ['.onnx', '.cop', '.data', '.onnx_data'] })
      if (files) await openModel(files)
    } catch (error) {
      fail('model', error)
    }
  }
  return (
    <section class="first" aria-label="Model">
      <DropZone place="model" large label="Drop a model here" onFiles={(files: Chosen) => openModel(files)}>
        <p class="drop-title">Drop a model here</p>
        <button type="button" class="primary" onClick={choose} disabled={busy.value}>
          Choose a model
        </button>
        <p class="soft">
          An .onnx file, together with its external data if it has any, or a packed .cop file. It is read in this page,
          and sent nowhere.
        </p>
      </DropZone>
      <JobView />
      <Failure place="model" />
    </section>
  )
}

export function ModelCard() {
  const { summary } = model.value as { summary: ModelSummary }
  const { inspection, name, fileBytes, packed, parts } = summary
  const { totals, inputs, outputs } = inspection
  return (
    <section class="card" aria-labelledby="model-name">
      <div class="head">
        <h2 id="model-name">{name}</h2>
        <button type="button" class="quiet" onClick={closeModel} disabled={busy.value}>
          Another model
        </button>
      </div>
      <dl class="facts">
        <Fact name={packed ? 'packed' : 'size'} value={size(fileBytes)} more={`${count(fileBytes)} bytes`} />
        {packed && <Fact name="as .onnx" value={size(packed.onnxBytes)} more={`${count(packed.onnxBytes)} bytes`} />}
        <Fact name="layers" value={count(totals.layers)} />
        <Fact name="parameters" value={large(totals.params)} />
        <Fact name="multiply-adds" value={large(totals.macs)} more="for one input" />
      </dl>
      <p class="soft values">
        takes {inputs.map(valueInWords).join(', ') || 'nothing'} · gives{' '}
        {outputs.map(valueInWords).join(', ') || 'nothing'}
      </p>
      <p class="soft values">{parts.map(([what, bytes]) => `${what}: ${count(bytes)} bytes`).join(' · ')}</p>
      <Oddities summary={summary} />
      <details>
        <summary>Layer by layer</summary>
        <Layers summary={summary} />
      </details>
    </section>
  )
}

function Fact({ name, value, more }: { name: string; value: string; more?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value}
        {more && <small>{more}</small>}
      </dd>
    </div>
  )
}

type Value = ModelSummary['inspection']['inputs'][number]

function valueInWords({ name, kind, dtype, shape }: Value): string {
  return `${name} ${kind ?? `${dtype ?? ''}${shape ? ` [${shape.map((d) => d ?? '?').join(', ')}]` : ''}`}`
}

/** What hinders, and what is odd: one sentence each. */
function zerosIn({ params, sparsity }: ModelSummary['inspection']['layers'][number]): string {
  if (sparsity === null) return params > 0 ? 'not known' : ''
  return sparsity > 0 ? percent(sparsity, 1) : ''
}

function Oddities({ summary: { inspection } }: { summary: ModelSummary }) {
  const { problems, unsupported, remarks } = inspection
  const unknown = [...new Set(unsupported.map(({ op, why }) => `${op}: ${why}`))]
  if (problems.length + unknown.length + remarks.length === 0) return null
  const shown = [
    ...problems.map((p) => ({ tone: 'bad', text: `It cannot run: ${p}` })),
    ...unknown.map((u) => ({ tone: 'odd', text: u })),
    ...remarks.map((r) => ({ tone: 'odd', text: r })),
  ]
  return (
    <>
      <h3>{problems.length > 0 ? 'Problems' : 'Worth knowing'}</h3>
      <ul class="oddities">
        {shown.slice(0, 8).map(({ tone, text }) => (
          <li class={tone} key={text}>
            {text}
          </li>
        ))}
        {shown.length > 8 && <li>and {shown.length - 8} more like these</li>}
      </ul>
    </>
  )
}

/** As many rows as are shown at first: a thousand at once would keep the page from answering. */
const rowsAtFirst = 60

function Layers({ summary: { inspection } }: { summary: ModelSummary }) {
  const [shown, setShown] = useState(rowsAtFirst)
  const layers = inspection.layers.filter((layer) => layer.params > 0 || layer.macs !== 0)
  const others = inspection.layers.length - layers.length
  const most = Math.max(1, ...layers.map(({ bytes }) => bytes))
  return (
    <>
      <Scroll label="Layers">
        <table class="layers">
          <caption class="hidden">Layers with their parameters, multiply-adds and bytes</caption>
          <thead>
            <tr>
              {['layer', 'operator', 'output', 'parameters', 'multiply-adds', 'bytes', 'zeros', 'distinct'].map(
                (head) => (
                  <th scope="col" key={head}>
                    {head}
                  </th>
                ),
              )}
            </tr>
          </thead>
          <tbody>
            {layers.slice(0, shown).map((layer) => (
              <tr key={layer.name}>
                <th scope="row" title={layer.name}>
                  {layer.name}
                </th>
                <td>{layer.op}</td>
                <td>{layer.outputShape?.map((d) => d ?? '?').join(' x ') ?? ''}</td>
                <td>{count(layer.params)}</td>
                <td>{layer.macs === null ? 'not known' : count(layer.macs)}</td>
                <td class="weighed" style={{ '--share': `${(100 * layer.bytes) / most}%` }}>
                  {count(layer.bytes)}
                </td>
                <td>{zerosIn(layer)}</td>
                <td>{layer.distinct === null ? '' : count(layer.distinct)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {layers.length > shown && (
        <button type="button" class="quiet" onClick={() => setShown(shown + 500)}>
          Show {Math.min(500, layers.length - shown)} more of {count(layers.length)}
        </button>
      )}
      {others > 0 && <p class="soft">and {count(others)} layers without parameters or multiply-adds</p>}
    </>
  )
}
