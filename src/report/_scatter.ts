/** Points of cost against score, and the line of those that no other beats. */
import { type Point, paretoFront } from '../sweep/pareto.ts'
import { escapeHtml } from './_page.ts'

export interface Mark extends Point {
  /** Written beside it where it is on the front; none of an original. */
  readonly number?: number
  /** Which model it is of, from 0 on: says its shape and colour. */
  readonly series: number
  /** The worst and the best of several runs. */
  readonly range?: { readonly low: number; readonly high: number }
  /** What it is, in words, for a pointer over it. */
  readonly words: string
}

export interface Scatter {
  readonly name: string
  /** What the marks are, for those who do not see them. */
  readonly label: string
  readonly marks: readonly Mark[]
  readonly cost: (value: number) => string
  readonly score: (value: number) => string
}

const width = 480
const height = 300
const margin = { left: 54, right: 20, top: 14, bottom: 30 }

/** An SVG in a figure: cost on a logarithmic scale to the right, score upwards. */
export function scatter({ name, label, marks, cost, score }: Scatter): string {
  const [left, right] = logRange(marks.map((m) => m.cost))
  const scores = marks.flatMap(({ score: s, range }) => [s, ...(range ? [range.low, range.high] : [])])
  const levels = linearTicks(Math.min(...scores), Math.max(...scores))
  const [bottom, top] = [levels[0], levels[levels.length - 1]]
  const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom }
  const x = (v: number): number => margin.left + (Math.log(v / left) / Math.log(right / left)) * inner.width
  const y = (v: number): number => margin.top + ((top - v) / (top - bottom)) * inner.height
  const front = paretoFront(marks)
  const isFront = new Set<Mark>(front)
  const line = front.map((m) => `${x(m.cost).toFixed(1)},${y(m.score).toFixed(1)}`).join(' ')
  const grid = levels.map(
    (v) =>
      `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${y(v).toFixed(1)}" y2="${y(v).toFixed(1)}"/><text x="${margin.left - 6}" y="${y(v).toFixed(1)}" dy="4" text-anchor="end">${score(v)}</text>`,
  )
  const ticks = logTicks(left, right).map(
    (v) =>
      `<text x="${x(v).toFixed(1)}" y="${height - 10}" text-anchor="middle">${cost(v)}</text><line class="grid" x1="${x(v).toFixed(1)}" x2="${x(v).toFixed(1)}" y1="${height - margin.bottom}" y2="${height - margin.bottom + 5}"/>`,
  )
  // What lies on the front is drawn last, over the others.
  const drawn = [...marks].sort((a, b) => Number(isFront.has(a)) - Number(isFront.has(b)))
  return `<figure><figcaption>${escapeHtml(name)}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(label)}">
${grid.join('')}${ticks.join('')}
<polyline class="front" points="${line}"/>
${drawn.map((m) => markOf(m, x, y, isFront.has(m))).join('\n')}</svg></figure>`
}

function markOf(mark: Mark, x: (v: number) => number, y: (v: number) => number, isFront: boolean): string {
  const [cx, cy] = [x(mark.cost), y(mark.score)]
  const { range, number, series } = mark
  const classes = ['mark', `series${series % shapes.length}`, ...(number === undefined ? ['original'] : [])]
  const bar =
    range && range.high > range.low
      ? `<line class="range" x1="${cx.toFixed(1)}" x2="${cx.toFixed(1)}" y1="${y(range.low).toFixed(1)}" y2="${y(range.high).toFixed(1)}"/>`
      : ''
  // A number below its point where it would be cut off above.
  const at = cy < margin.top + 12 ? cy + 17 : cy - 8
  const text =
    isFront && number !== undefined
      ? `<text class="number" x="${cx.toFixed(1)}" y="${at.toFixed(1)}" text-anchor="middle">${number}</text>`
      : ''
  return `<g class="${classes.join(' ')}${isFront ? '' : ' beaten'}"><title>${escapeHtml(mark.words)}</title>${bar}${shape(series, cx, cy)}${text}</g>`
}

/** A shape for each series, beside its colour; of more series they begin again. */
const shapes: readonly ((x: number, y: number) => string)[] = [
  (x, y) => `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="4.5"/>`,
  (x, y) => `<rect x="${(x - 4.2).toFixed(1)}" y="${(y - 4.2).toFixed(1)}" width="8.4" height="8.4"/>`,
  (x, y) => path(x, y, 'm0-5.5 5.2 9.5h-10.4z'),
  (x, y) => path(x, y, 'm0-6 5.5 6-5.5 6-5.5-6z'),
]
const path = (x: number, y: number, d: string): string => `<path d="M${x.toFixed(1)} ${y.toFixed(1)}${d}"/>`

function shape(series: number, x: number, y: number): string {
  return shapes[series % shapes.length](x, y)
}

/** A series' shape alone, for a legend. */
export function swatch(series: number): string {
  return `<svg class="key" viewBox="-8 -8 16 16" aria-hidden="true"><g class="mark series${series % shapes.length}">${shape(series, 0, 0)}</g></svg>`
}

/** From a little below the least to a little above the most, a factor of 1.5 apart at least. */
function logRange(values: readonly number[]): [number, number] {
  const [least, most] = [Math.min(...values), Math.max(...values)]
  const room = Math.max((most / least) ** 0.06, most / least < 1.5 ? 1.3 : 1)
  return [least / room, most * room]
}

/** 1, 2 and 5 times powers of ten that lie between; fewer where they would be many. */
function logTicks(left: number, right: number): number[] {
  const powers = Array.from({ length: 40 }, (_, i) => 10 ** (i - 12))
  const between = (steps: readonly number[]): number[] =>
    powers.flatMap((p) => steps.map((s) => s * p)).filter((v) => v >= left * 0.999 && v <= right * 1.001)
  const wanted = [[1, 2, 5], [1, 3], [1]].map(between).find((ticks) => ticks.length <= 5) ?? between([1])
  return wanted.length > 1
    ? wanted.slice(0, 6)
    : [left, Math.sqrt(left * right), right].map((v) => Number(v.toPrecision(2)))
}

/** Four steps or so of 1, 2 or 5 times a power of ten that reach from below the least to above the most. */
function linearTicks(least: number, most: number): number[] {
  const room = Math.max(most - least, Math.abs(most) * 1e-3, 1e-9)
  const unit = 10 ** Math.floor(Math.log10(room / 4))
  const step = unit * ([1, 2, 5, 10].find((m) => m * unit >= room / 4) ?? 10)
  const first = Math.floor(least / step + 1e-9)
  const last = Math.max(first + 1, Math.ceil(most / step - 1e-9))
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
}
