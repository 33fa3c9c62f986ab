/** Training as it goes: the loss and the accuracy by the step, and a button that pauses it. */
import { useEffect, useRef, useState } from 'preact/hooks'
import type UPlot from 'uplot'
import { busy, curve, pause, paused } from '../state.ts'

export function Curves() {
  if (curve.value.length === 0) return null
  const last = curve.value[curve.value.length - 1]
  const measured = last.accuracy === undefined ? '' : `, accuracy ${(100 * last.accuracy).toFixed(1)} %`
  return (
    <section class="curves" aria-label="Training">
      <div class="job-line">
        <strong>Training</strong>
        <span>
          step {last.step} of {last.steps}: loss {last.loss.toPrecision(3)}
          {measured}
        </span>
        {busy.value && (
          <button type="button" aria-pressed={paused.value} onClick={() => pause(!paused.value)}>
            {paused.value ? 'Go on' : 'Pause'}
          </button>
        )}
      </div>
      <Plot />
    </section>
  )
}

/** Whether the page is dark, as long as it is. */
function useDark(): boolean {
  const [dark, setDark] = useState(false)
  useEffect(() => {
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    const tell = () => setDark(scheme.matches)
    tell()
    scheme.addEventListener('change', tell)
    return () => scheme.removeEventListener('change', tell)
  }, [])
  return dark
}

function Plot() {
  const dark = useDark()
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot | undefined>(undefined)
  useEffect(() => {
    let gone = false
    const observer = new ResizeObserver(() => plot.current?.setSize(sizeOf(place.current)))
    const begin = async () => {
      const [{ default: Plot }] = await Promise.all([import('uplot'), import('uplot/dist/uPlot.min.css')])
      if (gone || !place.current) return
      plot.current = new Plot(optionsOf(place.current), columns(), place.current)
      // A part of the picture, whose name says it all.
      plot.current.root.querySelector('.u-legend')?.setAttribute('aria-hidden', 'true')
      observer.observe(place.current)
    }
    void begin()
    return () => {
      gone = true
      observer.disconnect()
      plot.current?.destroy()
      plot.current = undefined
    }
    // Its colours are those of the page when it is begun.
  }, [dark])
  const data = columns()
  useEffect(() => plot.current?.setData(data))
  return <div ref={place} class="plot" role="img" aria-label="Loss and accuracy by the step" />
}

function columns(): UPlot.AlignedData {
  const points = curve.value
  return [
    points.map((p) => p.step),
    points.map((p) => p.loss),
    points.map((p) => (p.accuracy === undefined ? null : 100 * p.accuracy)),
  ]
}

function sizeOf(place: HTMLElement | null): { width: number; height: number } {
  return { width: place?.clientWidth ?? 300, height: 220 }
}

function optionsOf(place: HTMLElement): UPlot.Options {
  const colour = (name: string): string => getComputedStyle(place).getPropertyValue(name).trim()
  const axis = { stroke: colour('--soft'), grid: { stroke: colour('--line') }, ticks: { stroke: colour('--line') } }
  return {
    ...sizeOf(place),
    scales: { x: { time: false }, '%': { range: [0, 100] } },
    axes: [
      axis,
      { ...axis, label: 'loss', size: 56 },
      { ...axis, grid: { show: false }, scale: '%', side: 1, label: 'accuracy, %', size: 48 },
    ],
    series: [
      { label: 'step' },
      { label: 'loss', stroke: colour('--leaf'), width: 2 },
      { label: 'accuracy', stroke: colour('--warn'), width: 2, scale: '%', dash: [6, 3] },
    ],
    cursor: { show: false },
    legend: { live: false },
  }
}
