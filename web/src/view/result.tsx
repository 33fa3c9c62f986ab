/** What compressing gave: the figures, the files, the pictures of before and after, the report. */
import { useEffect, useRef } from 'preact/hooks'
import { textFile } from '../files.ts'
import { percent } from '../numbers.ts'
import { compared, compressed } from '../state.ts'
import type { Answer, Compared, CompressOutcome } from '../work/messages.ts'
import { Download, Sides, Warnings } from './parts.tsx'

export function CompressResult() {
  const heading = useRef<HTMLHeadingElement>(null)
  const outcome = compressed.value as CompressOutcome
  // Who cannot see that the result has come is taken there.
  useEffect(() => heading.current?.focus(), [outcome])
  const { tiles, rows, warnings, holds, onnx, packed, recipe, html } = outcome
  const stem = packed.name.replace(/\.cop$/, '')
  return (
    <>
      <section class="card results" aria-labelledby="result">
        <h2 id="result" tabIndex={-1} ref={heading}>
          {holds ? 'The result' : 'The result breaks the limit'}
        </h2>
        <ul class="tiles">
          {tiles.map(({ value, what, more, tone }) => (
            <li class={`tile ${tone}`} key={what}>
              <strong>{value}</strong>
              <span>{what}</span>
              <small>{more}</small>
            </li>
          ))}
        </ul>
        <div class="actions">
          <Download made={packed} primary />
          <Download made={onnx} />
          <Download made={textFile(`${stem}.report.html`, html)} what="Report" />
          <Download made={textFile(`${stem}.recipe.json`, `${JSON.stringify(recipe, null, 2)}\n`)} what="Recipe" />
        </div>
        <Warnings warnings={warnings} />
        <h3>Before and after</h3>
        <Sides what="Sizes, accuracy and time" rows={rows.map((row) => ({ ...row, what: row.what.trim() }))} />
      </section>
      {compared.value.length > 0 && <Pictures />}
      <section class="card">
        <details>
          <summary>The whole report</summary>
          <ReportFrame html={html} />
        </details>
      </section>
    </>
  )
}

/** A report in a frame as high as it is. It holds no script, and none would run. */
export function ReportFrame({ html }: { html: string }) {
  const frame = useRef<HTMLIFrameElement>(null)
  const fit = () => {
    const shown = frame.current?.contentDocument?.documentElement
    if (!frame.current || !shown) return
    // A document is at least as high as its frame.
    frame.current.style.height = '0'
    frame.current.style.height = `${shown.scrollHeight}px`
  }
  useEffect(() => {
    const details = frame.current?.closest('details')
    addEventListener('resize', fit)
    details?.addEventListener('toggle', fit)
    return () => {
      removeEventListener('resize', fit)
      details?.removeEventListener('toggle', fit)
    }
  })
  return <iframe ref={frame} title="Report" class="report" sandbox="allow-same-origin" srcdoc={html} onLoad={fit} />
}

/** The same pictures through the original and the result. */
function Pictures() {
  const changed = compared.value.filter(
    ({ before, after }) => before.classes?.[0].name !== after.classes?.[0].name,
  ).length
  const decided = compared.value.every(({ before }) => before.classes)
  return (
    <section class="card" aria-labelledby="pictures">
      <h2 id="pictures">Your pictures, before and after</h2>
      {decided && (
        <p class="soft">
          {changed === 0
            ? 'All of these get the same answer.'
            : `${changed} of these ${compared.value.length} get another answer.`}
        </p>
      )}
      <ul class="pictures">
        {compared.value.map((sample, i) => (
          <li key={i}>
            <Picture picture={sample.picture} label={sample.answer ?? `picture ${i + 1}`} />
            {sample.answer && <p class="soft">{sample.answer}</p>}
            <dl>
              <dt>before</dt>
              <dd>
                <Told answer={sample.before} sample={sample} />
              </dd>
              <dt>after</dt>
              <dd>
                <Told answer={sample.after} sample={sample} />
              </dd>
            </dl>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Told({ answer, sample }: { answer: Answer; sample: Compared }) {
  if (answer.picture) return <Picture picture={answer.picture} label="what the model makes of it" />
  if (!answer.classes) return <>{answer.numbers?.map((n) => n.toPrecision(4)).join(', ')}</>
  const [first] = answer.classes
  const tone = sample.answer === undefined ? '' : first.name === sample.answer ? 'good' : 'bad'
  return (
    <span class={tone}>
      {first.name} <small>{percent(first.share, 0)}</small>
    </span>
  )
}

function Picture({ picture: { width, height, rgba }, label }: { picture: Compared['picture']; label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  useEffect(() => {
    const pixels = new ImageData(new Uint8ClampedArray(rgba), width, height)
    canvas.current?.getContext('2d')?.putImageData(pixels, 0, 0)
  }, [rgba, width, height])
  return <canvas ref={canvas} width={width} height={height} role="img" aria-label={label} />
}
