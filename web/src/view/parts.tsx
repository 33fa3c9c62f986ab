/** Small parts that several views share. */
import type { ComponentChildren } from 'preact'
import { useRef, useState } from 'preact/hooks'
import { droppedFiles, save } from '../files.ts'
import { duration, size, withoutFlags } from '../numbers.ts'
import { busy, cancel, fail, failure, job, type Place } from '../state.ts'
import type { Chosen, Made } from '../work/messages.ts'

/** A place to drop files on; what is in it offers other ways. */
export function DropZone({
  place,
  onFiles,
  label,
  children,
  large,
}: {
  place: Place
  onFiles: (files: Chosen) => unknown
  label: string
  children: ComponentChildren
  large?: boolean
}) {
  const [over, setOver] = useState(false)
  // Entering a child is leaving the parent: only the balance says whether files are above.
  const depth = useRef(0)
  const enter = (by: number) => {
    depth.current += by
    setOver(depth.current > 0)
  }
  const drop = async (event: DragEvent) => {
    event.preventDefault()
    depth.current = 0
    setOver(false)
    if (busy.value || !event.dataTransfer) return
    try {
      const files = await droppedFiles(event.dataTransfer)
      if (files.files.length > 0) await onFiles(files)
    } catch (error) {
      fail(place, error)
    }
  }
  return (
    <section
      aria-label={label}
      class={`drop${large ? ' large' : ''}${over ? ' over' : ''}`}
      onDragEnter={(e) => {
        e.preventDefault()
        enter(1)
      }}
      onDragLeave={() => enter(-1)}
      onDragOver={(e) => e.preventDefault()}
      onDrop={drop}
    >
      {children}
    </section>
  )
}

/** The one sentence of what went wrong here. */
export function Failure({ place }: { place: Place }) {
  const found = failure.value
  return (
    <div role="alert" data-place={place}>
      {found?.place === place && <p class="failure">{withoutFlags(found.sentence)}</p>}
    </div>
  )
}

/** What is being done, how far it is, and a way to stop it. */
export function JobView() {
  const now = job.value
  if (!now) return null
  const { done, leftMs, elapsedMs } = now.reached
  const left = leftMs === undefined || elapsedMs < 2000 ? '' : `, about ${duration(leftMs)} left`
  return (
    <section class="job" aria-label={now.title}>
      <div class="job-line">
        <strong>{now.title}</strong>
        <span aria-hidden="true">{done > 0 ? `${Math.floor(100 * done)} %${left}` : ''}</span>
        <button type="button" onClick={cancel}>
          Cancel
        </button>
      </div>
      <progress max={1} value={done > 0 ? done : undefined} aria-label={now.title} />
      <p role="status">{now.what}</p>
    </section>
  )
}

export function Download({ made, primary, what }: { made: Made; primary?: boolean; what?: string }) {
  return (
    <button type="button" class={primary ? 'primary' : ''} onClick={() => save(made)} data-download={made.name}>
      {what ?? `Download ${made.name}`} <small>{size(made.blob.size)}</small>
    </button>
  )
}

/** What may be wider than the page, and is moved by keys too. */
export function Scroll({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: whoever has no pointer scrolls it by keys
    <section class="scroll" aria-label={label} tabIndex={0}>
      {children}
    </section>
  )
}

/** What a person should know of a result. */
export function Warnings({ warnings }: { warnings: readonly string[] }) {
  if (warnings.length === 0) return null
  return (
    <div class="warnings">
      <h3>Worth knowing</h3>
      <ul>
        {warnings.map((warning) => (
          <li key={warning}>{withoutFlags(warning)}</li>
        ))}
      </ul>
    </div>
  )
}

export interface SidesRow {
  readonly what: string
  readonly before?: string
  readonly after: string
  readonly change: string
  readonly tone?: string
}

/** Figures of before and after, side by side. `what` says of what, for who cannot see it. */
export function Sides({ what, rows }: { what: string; rows: readonly SidesRow[] }) {
  return (
    <Scroll label="Before and after">
      <table class="sides">
        <caption class="hidden">{what} before and after</caption>
        <thead>
          <tr>
            <td />
            <th scope="col">before</th>
            <th scope="col">after</th>
            <th scope="col">change</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.what}>
              <th scope="row">{row.what}</th>
              <td>{row.before}</td>
              <td>{row.after}</td>
              <td class={row.tone}>{row.change}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}
