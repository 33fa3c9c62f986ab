/** A training run as one HTML file: its curves, its epochs, and what it was asked to do. */

import { shareInterval } from '../task/statistics.ts'
import type { Validation } from '../train/validate.ts'
import { escapeHtml, facts, renderPage, section, type Tone, table, tile } from './_page.ts'
import { count, duration, percent, points } from './format.ts'
import { toneOf } from './rows.ts'
import { type CurvePoint, showScore, type TestScore, type TrainReport } from './train-report.ts'
import { dateInWords, shareRange } from './words.ts'

export function renderTraining(title: string, report: TrainReport): string {
  const { history, test, epoch, engine, seconds, options } = report
  const chosen = history[epoch]
  const tiles = [
    ...(test ? [testTile(test)] : []),
    ...(chosen.validation ? [heldBackTile(chosen.validation, `after epoch ${epoch + 1}`)] : []),
    tile(chosen.loss.toFixed(4), 'training loss', `mean of epoch ${epoch + 1}`),
    tile(
      duration(1000 * seconds),
      'in all',
      `${history.length} epoch${history.length === 1 ? '' : 's'}, ${engine} engine`,
    ),
  ]
  const held = history.some((h) => h.validation)
    ? ' <span class="swatch held"></span>held-back data, after each epoch'
    : ''
  const legend = `<p class="legend"><span class="swatch"></span>training, mean of a few steps${held}</p>`
  const given = Object.entries(options).map(([name, value]): [string, string] => [`--${name}`, value || 'on'])
  const body = [
    section('Curves', `${legend}\n<div class="charts">${charts(report)}</div>`),
    section('Epochs', epochTable(report)),
    section('Options', facts(given)),
  ]
  return renderPage({
    title,
    made: dateInWords(report.made),
    tiles,
    warnings: [],
    body: body.join('\n'),
    environment: report.environment,
  })
}

function testTile(test: TestScore): string {
  const isError = test.measure === 'RMS error'
  const change = isError ? '' : ` (${points(test.before, test.after)})`
  const range = isError ? '' : `; ${shareRange(test.after, test.samples)}`
  return tile(
    showScore(test, test.after),
    `${test.measure} after`,
    `${showScore(test, test.before)} before${change}, on ${count(test.samples)} test samples${range}`,
    toneOfTest(test),
  )
}

/** Better or worse only where the score of before lies outside the interval of the new one; an error's is about ±1.96 e/√(2n). */
function toneOfTest({ measure, before, after, samples }: TestScore): Tone {
  if (measure === 'RMS error')
    return Math.abs(before - after) > (1.96 * after) / Math.sqrt(2 * samples) ? toneOf(before - after) : 'plain'
  const { low, high } = shareInterval(Math.round(after * samples), samples)
  return before < low || before > high ? toneOf(after - before) : 'plain'
}

function heldBackTile({ accuracy, loss }: Validation, when: string): string {
  if (accuracy === undefined) return tile(loss.toPrecision(4), 'loss on held-back data', when)
  return tile(percent(accuracy), 'accuracy on held-back data', when)
}

function epochTable({ history, epoch }: TrainReport): string {
  const held = history.some((h) => h.validation)
  const accuracy = history.some((h) => h.accuracy !== undefined)
  const head = ['epoch', 'rate at its end', 'training loss', ...(accuracy ? ['training accuracy'] : [])]
  const rows = history.map((h, i) => [
    `${h.epoch + 1}${i === epoch && held ? ' (given)' : ''}`,
    h.learningRate.toPrecision(3),
    h.loss.toFixed(4),
    ...(accuracy ? [h.accuracy === undefined ? '' : percent(h.accuracy)] : []),
    ...(held && h.validation ? [h.validation.loss.toFixed(4)] : []),
    ...(held && h.validation?.accuracy !== undefined ? [percent(h.validation.accuracy)] : []),
  ])
  const heldHeads = ['held-back loss', ...(accuracy ? ['held-back accuracy'] : [])]
  return table({
    caption: 'Loss and accuracy of each epoch',
    head: held ? [...head, ...heldHeads] : head,
    rows,
    narrow: 'stacked',
  })
}

type Point = readonly [at: number, value: number]

interface Chart {
  readonly name: string
  readonly training: readonly Point[]
  readonly held: readonly Point[]
  readonly epochs: number
  readonly bottom: number
  readonly top: number
  readonly label: (value: number) => string
}

function charts({ curve, history }: TrainReport): string {
  const epochs = history.length
  const trained = (of: (p: CurvePoint) => number | undefined): Point[] =>
    curve.flatMap((p) => (of(p) === undefined ? [] : [[p.at, of(p) as number] as const]))
  const heldBack = (of: (v: Validation) => number | undefined): Point[] =>
    history.flatMap((h) => {
      const value = h.validation && of(h.validation)
      return value === undefined ? [] : [[h.epoch + 1, value] as const]
    })
  const values = (...lines: readonly Point[][]): number[] => lines.flatMap((line) => line.map(([, v]) => v))
  const loss = { training: trained((p) => p.loss), held: heldBack((v) => v.loss) }
  const accuracy = { training: trained((p) => p.accuracy), held: heldBack((v) => v.accuracy) }
  const least = Math.min(...values(accuracy.training, accuracy.held))
  const drawn: Chart[] = [
    {
      name: 'Loss',
      ...loss,
      epochs,
      bottom: 0,
      top: roundUp(Math.max(...values(loss.training, loss.held))),
      label: (v) => Number(v.toPrecision(3)).toString(),
    },
    {
      name: 'Accuracy',
      ...accuracy,
      epochs,
      bottom: [0.96, 0.8, 0.6].find((b) => b <= least) ?? 0,
      top: 1,
      label: (v) => percent(v, 0),
    },
  ]
  return drawn
    .filter((c) => c.training.length > 0)
    .map(draw)
    .join('')
}

/** The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten. */
function roundUp(value: number): number {
  if (!(value > 0)) return 1
  const unit = 10 ** Math.floor(Math.log10(value))
  return unit * ([1, 1.5, 2, 3, 4, 5, 6, 8].find((m) => m * unit >= value) ?? 10)
}

const width = 480
const height = 240
const margin = { left: 44, right: 12, top: 10, bottom: 34 }

function draw({ name, training, held, epochs, bottom, top, label }: Chart): string {
  const x = (at: number): string => (margin.left + (at / epochs) * (width - margin.left - margin.right)).toFixed(1)
  const y = (v: number): string =>
    (margin.top + ((top - v) / (top - bottom)) * (height - margin.top - margin.bottom)).toFixed(1)
  const line = (points: readonly Point[]): string => points.map(([at, v]) => `${x(at)},${y(v)}`).join(' ')
  const levels = [0, 0.25, 0.5, 0.75, 1].map((share) => bottom + share * (top - bottom))
  const step = Math.ceil(epochs / 8)
  const ticks = Array.from({ length: Math.floor(epochs / step) + 1 }, (_, i) => i * step)
  const last = (points: readonly Point[]): string => label(points[points.length - 1][1])
  const said = [
    ...(training.length > 0 ? [`training ends at ${last(training)}`] : []),
    ...(held.length > 0 ? [`held-back data at ${last(held)}`] : []),
  ]
  return `<figure><figcaption>${name}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(`${name} over ${epochs} epochs: ${said.join(', ')}`)}">
${levels.map((v) => `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${y(v)}" y2="${y(v)}"/><text x="${margin.left - 6}" y="${y(v)}" dy="4" text-anchor="end">${label(v)}</text>`).join('')}
${ticks.map((t) => `<text x="${x(t)}" y="${height - 18}" text-anchor="middle">${t}</text>`).join('')}
<text x="${(margin.left + width - margin.right) / 2}" y="${height - 3}" text-anchor="middle">epochs</text>
<polyline class="training" points="${line(training)}"/><polyline class="held" points="${line(held)}"/>
${held.map(([at, v]) => `<circle class="held" cx="${x(at)}" cy="${y(v)}" r="3"/>`).join('')}</svg></figure>`
}
