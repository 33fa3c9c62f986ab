/** A sweep as one HTML file: what costs least at what score, of bytes, multiply-adds and time, and every combination. */
import { factor } from '../numbers.ts'
import { type Averages, type Combination, type Comparable, comparables } from '../sweep/groups.ts'
import { paretoFront } from '../sweep/pareto.ts'
import type { Measure, SweepRow } from '../sweep/row.ts'
import { type Cell, escapeHtml, facts, renderPage, section, table, tile } from './_page.ts'
import { type Mark, scatter, swatch } from './_scatter.ts'
import { bytes, count, milliseconds, percent, signed } from './format.ts'
import type { ScanPage } from './scan-html.ts'
import { dateInWords } from './words.ts'

/** What a chart has to the right. */
interface Axis {
  readonly name: string
  readonly short: string
  readonly of: (side: Averages) => number | null | undefined
  readonly label: (value: number) => string
}

const axes: readonly Axis[] = [
  { name: 'Bytes to download, packed', short: 'bytes', of: (s) => s.packed, label: thousands },
  { name: 'Multiply-adds per sample', short: 'MACs', of: (s) => s.macs, label: thousands },
  { name: 'Milliseconds per call', short: 'time', of: (s) => s.ms, label: (v) => String(Number(v.toPrecision(2))) },
]

/** `page` says what the rows were made of, and where. */
export function renderSweep(page: ScanPage, rows: readonly SweepRow[]): string {
  const groups = comparables(rows)
  const failed = rows.filter((row) => row.error !== undefined)
  const tiles = [...(['size', 'speed'] as const).flatMap((goal) => bestTile(groups, goal) ?? []), countTile(rows)]
  const warnings = new Set(rows.flatMap((row) => row.found?.warnings.map((w) => `${row.name}: ${w}`) ?? []))
  return renderPage({
    title: page.title,
    made: dateInWords(page.made),
    tiles,
    warnings: shortened([...warnings]),
    body: [
      ...groups.map((group) => section(`${capital(group.measure)} on ${group.data}`, comparable(group))),
      ...(failed.length > 0 ? [section('Without a result', failures(failed))] : []),
      section('What it was found on', facts(page.facts)),
    ].join('\n'),
    environment: page.environment,
  })
}

const mostWarnings = 12

function shortened(warnings: readonly string[]): string[] {
  if (warnings.length <= mostWarnings) return [...warnings]
  const left = warnings.length - mostWarnings
  return [...warnings.slice(0, mostWarnings), `${count(left)} more of such warnings are in the rows' files`]
}

const capital = (text: string): string => text[0].toUpperCase() + text.slice(1)

function showScore(measure: Measure, score: number): string {
  return measure === 'signal to noise' ? `${score.toFixed(1)} dB` : percent(score)
}

/** Whether a result is worth having: half a point lost at most, or 30 dB, as `compress` allows. */
function isKept({ measure, before, after }: Combination): boolean {
  return measure === 'signal to noise' ? after.score >= 30 : after.score >= before.score - 0.005
}

const allowed = (measure: Measure): string =>
  measure === 'signal to noise' ? 'at 30 dB or more' : 'that loses at most half a point'

/** The smallest or the fastest combination that keeps what it should. */
function bestTile(groups: readonly Comparable[], goal: 'size' | 'speed'): string | undefined {
  const gain = (c: Combination): number =>
    goal === 'size' ? c.before.bytes / c.after.packed : c.speedUp && c.speedUp.low > 1 ? c.speedUp.median : 0
  const kept = groups.flatMap((g) => g.combinations).filter((c) => isKept(c) && gain(c) > 1)
  const [best] = kept.sort((a, b) => gain(b) - gain(a))
  if (!best) return undefined
  const what = goal === 'size' ? 'smaller to download' : 'faster'
  const more = `${best.number} ${best.name} on ${best.model}: the most ${allowed(best.measure)} (${scoreChange(best)})`
  return tile(`${factor(gain(best))} x`, what, more, 'good')
}

function countTile(rows: readonly SweepRow[]): string {
  const failed = rows.filter((row) => row.error !== undefined).length
  const seeds = new Set(rows.map((row) => row.recipe.seed)).size
  const more =
    failed > 0
      ? `${count(failed)} of them without a result`
      : `all with a result, ${seeds} seed${seeds === 1 ? '' : 's'}`
  return tile(count(rows.length), rows.length === 1 ? 'row' : 'rows', more, failed > 0 ? 'bad' : 'plain')
}

function scoreChange({ measure, before, after }: Combination): string {
  if (measure === 'signal to noise') return showScore(measure, after.score)
  return `${percent(after.score)}, ${signed(100 * (after.score - before.score))} points`
}

function comparable(group: Comparable): string {
  const { combinations } = group
  const models = [...new Set(combinations.map((c) => c.model))]
  const drawn = axes.map((axis) => ({ axis, ...pointsOf(group, axis, models) })).filter((d) => d.marks.length > 0)
  const seeds = combinations.some((c) => c.seeds > 1)
    ? ' Points are means over seeds; a line reaches from the worst to the best.'
    : ''
  const left = drawn.some(({ marks }) => near(marks, group.measure).length < marks.length)
  const poor = left ? ` What lies more than ${100 * deepest} points below the best is in the table alone.` : ''
  const keys = models.map((model, i) => `<span class="keyed">${swatch(i)}${escapeHtml(model)}</span>`).join(' ')
  const legend = `<p class="legend">On ${escapeHtml(group.on)}. Up and to the left is better; the line joins what no other beats, with its number in the table. Hollow: the original.${seeds}${poor}</p>
<p class="legend">${keys}</p>`
  const charts = drawn.map(({ axis, marks, label }) =>
    scatter({
      name: axis.name,
      label,
      marks: near(marks, group.measure),
      cost: axis.label,
      score: (v) => tick(group.measure, v),
    }),
  )
  return `${legend}
<div class="charts">${charts.join('\n')}</div>
${combinationTable(group)}`
}

const tick = (measure: Measure, v: number): string =>
  measure === 'signal to noise' ? `${v} dB` : `${Number((100 * v).toFixed(3))} %`

function pointsOf({ combinations, measure }: Comparable, axis: Axis, models: readonly string[]) {
  const at = (c: Combination, side: 'before' | 'after', number?: number): Mark[] => {
    const cost = axis.of(c[side])
    if (cost === null || cost === undefined || cost <= 0) return []
    const { score } = c[side]
    const name = number === undefined ? `${c.model}, the original` : `${number} ${c.name} on ${c.model}`
    return [
      {
        cost,
        score,
        series: models.indexOf(c.model),
        words: `${name}: ${showScore(measure, score)}, ${axis.label(cost)} ${axis.short}`,
        ...(number === undefined ? {} : { number, range: c.scores }),
      },
    ]
  }
  const originals = models.flatMap((model) => {
    const first = combinations.find((c) => c.model === model)
    // Signal over noise of the original itself is endless, and would flatten all others.
    return first && measure !== 'signal to noise' ? at(first, 'before') : []
  })
  const results = combinations.flatMap((c) => at(c, 'after', c.number))
  const front = paretoFront([...originals, ...results]).map((m) => m.words)
  const label = `${capital(measure)} against ${axis.name.toLowerCase()}. No other beats: ${front.join('; ')}`
  return { marks: results.length > 0 ? [...originals, ...results] : [], label }
}

/** Points of accuracy below the best from where on a result is too poor to be drawn: others could not be told apart. */
const deepest = 0.2

/** Those that are drawn, where enough are left. */
function near(marks: readonly Mark[], measure: Measure): readonly Mark[] {
  const best = Math.max(...marks.map((m) => m.score))
  const kept = measure === 'signal to noise' ? marks : marks.filter((m) => m.score >= best - deepest)
  return kept.filter((m) => m.number !== undefined).length < 2 ? marks : kept
}

function combinationTable(group: Comparable): string {
  const { combinations, measure } = group
  const models = [...new Set(combinations.map((c) => c.model))]
  const fronts = axes.map((axis) => {
    const { marks } = pointsOf(group, axis, models)
    return { axis, numbers: new Set(paretoFront(marks).map((m) => m.number)) }
  })
  const isTimed = combinations.some((c) => c.after.ms !== undefined)
  const hasSeeds = combinations.some((c) => c.seeds > 1)
  const isDb = measure === 'signal to noise'
  const rows = combinations.map((c): (string | Cell)[] => [
    `${c.number} ${c.name}`,
    { html: escapeHtml(c.model), kind: 'text' },
    showScore(measure, c.after.score),
    ...(isDb ? [] : [signed(100 * (c.after.score - c.before.score))]),
    ...(hasSeeds ? [overSeeds(c)] : []),
    bytes(c.after.packed),
    `${factor(c.before.bytes / c.after.packed)} x`,
    c.after.macs === null ? 'not known' : thousands(c.after.macs),
    ...(isTimed
      ? [c.after.ms === undefined ? '' : milliseconds(c.after.ms), c.speedUp ? `${factor(c.speedUp.median)} x` : '']
      : []),
    {
      html: fronts
        .filter(({ numbers }) => numbers.has(c.number))
        .map(({ axis }) => axis.short)
        .join(', '),
      kind: 'text',
    },
  ])
  const head = [
    ...['recipe', 'model', measure, ...(isDb ? [] : ['points']), ...(hasSeeds ? ['over seeds'] : [])],
    ...['packed bytes', 'smaller', 'MACs', ...(isTimed ? ['per call', 'faster'] : []), 'not beaten in'],
  ]
  return table({ caption: `Every combination on ${group.data}`, head, rows, narrow: 'stacked' })
}

/** From the worst to the best, where they differ. */
function overSeeds({ measure, scores: { low, high } }: Combination): string {
  if (low === high) return ''
  return measure === 'signal to noise'
    ? `${low.toFixed(1)} to ${high.toFixed(1)} dB`
    : `${(100 * low).toFixed(1)} to ${percent(high, 1)}`
}

function failures(rows: readonly SweepRow[]): string {
  return table({
    caption: 'Combinations without a result, and why',
    head: ['recipe', 'model', 'data', 'seed', 'why'],
    rows: rows.map((row) => [
      row.name,
      { html: escapeHtml(row.model.name), kind: 'text' },
      { html: escapeHtml(row.data.name), kind: 'text' },
      String(row.recipe.seed),
      { html: escapeHtml(row.error ?? ''), kind: 'text' },
    ]),
    narrow: 'stacked',
  })
}

/** 950, 20.3k, 4.1M. */
function thousands(value: number): string {
  const [unit, name] = value >= 1e9 ? [1e9, 'G'] : value >= 1e6 ? [1e6, 'M'] : value >= 1e3 ? [1e3, 'k'] : [1, '']
  return `${Number((value / unit).toPrecision(3))}${name}`
}
