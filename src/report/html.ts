/** The report as one HTML file that needs nothing else: no script, no network. */

import type { Recipe } from '../recipe.ts'
import { type Cell, escapeHtml, facts, renderPage, section, type Tone, table, tile } from './_page.ts'
import { bytes, count, percent } from './format.ts'
import type { LayerRow, Report, Untouched } from './report.ts'
import { comparisonRows, downloadLegend, factRows, judgedRows, loadingLines, unsureInWords } from './rows.ts'
import { tilesOf } from './tiles.ts'
import { dateInWords, searched } from './words.ts'

export function renderHtml(report: Report): string {
  const body = [
    section('Before and after', comparison(report)),
    ...(report.judged && report.judged.findings.length + report.judged.apart.length > 0
      ? [section('What was kept', judgement(report))]
      : []),
    ...(report.layers.length > 0 ? [section('Layer by layer', layers(report.layers))] : []),
    ...(report.untouched?.length ? [section('Left as it was', untouched(report.untouched))] : []),
    section('What it was found on', facts(factRows(report))),
    ...(report.goal ? [section('What was done', done(report))] : []),
    ...(report.goal ? [section('Using the packed file', loading(report))] : []),
  ]
  return renderPage({
    ...report,
    made: dateInWords(report.made),
    tiles: tilesOf(report).map(({ value, what, more, tone }) => tile(value, what, more, tone)),
    body: body.join('\n'),
  })
}

function comparison(report: Report): string {
  const rows = comparisonRows(report).map((r) => [
    r.what.trim(),
    r.before,
    r.after,
    { html: escapeHtml(r.change), tone: r.tone },
  ])
  return `${table({ caption: 'Sizes, accuracy and time before and after', head: ['', 'before', 'after', 'change'], rows, narrow: 'side' })}
<p class="legend">${downloadLegend}</p>`
}

function judgement(report: Report): string {
  const withLimit = report.goal !== undefined
  const rows = judgedRows(report).map((r): (string | Cell)[] => [
    r.output,
    { html: escapeHtml(r.kind), kind: 'text' },
    { html: escapeHtml(`${r.value} ${r.what}`), kind: 'text' },
    r.interval,
    ...(withLimit ? [r.limit, { html: r.broken ? 'broken' : 'held', tone: (r.broken ? 'bad' : 'good') as Tone }] : []),
  ])
  const head = ['output', 'judged as', 'found', '95 % interval', ...(withLimit ? ['limit', 'verdict'] : [])]
  const unsure = unsureInWords(report)
  const apart = (report.judged?.apart ?? []).map(({ output, why }) => `"${output}" ${why}.`)
  return [
    `<p class="legend">Against the original, on ${escapeHtml(report.judged?.on ?? '')}; noise is measured about each output's mean.</p>`,
    ...(rows.length > 0
      ? [table({ caption: 'What each output kept of the original', head, rows, narrow: 'stacked' })]
      : []),
    ...[...apart, ...(unsure ? [unsure] : [])].map((sentence) => `<p class="legend">${escapeHtml(sentence)}</p>`),
  ].join('\n')
}

/** A bar per layer: its bytes before, and inside it the bytes after. */
function layers(rows: readonly LayerRow[]): string {
  const largest = Math.max(1, ...rows.map((l) => l.bytesBefore))
  const sensitive = rows.some((l) => l.sensitivity !== undefined)
  const cells = rows.map((l): (string | Cell)[] => [
    { html: nameOf(l.name) },
    { html: escapeHtml(l.op), kind: 'text' },
    count(l.weights),
    { html: bar(l, largest), kind: 'bar' },
    bytes(l.bytesBefore),
    bytes(l.bytesAfter),
    l.bitsPerWeight.toFixed(2),
    percent(l.sparsity, 0),
    ...(sensitive ? [l.sensitivity === undefined ? '' : l.sensitivity.toExponential(1)] : []),
  ])
  const head = ['weight', 'operator', 'weights', 'size', 'before', 'after', 'bits per weight', 'zeros']
  return `<p class="legend"><span class="swatch before"></span>bytes before <span class="swatch"></span>bytes of the packed file.${sensitive ? " Sensitivity: how much the output changes for a squared error of 1 of the layer's output." : ''}</p>
${table({ caption: 'Bytes of each weight tensor before and after', head: sensitive ? [...head, 'sensitivity'] : head, rows: cells, narrow: 'stacked' })}`
}

function bar({ bytesBefore, bytesAfter }: LayerRow, largest: number): string {
  const [before, after] = [bytesBefore, bytesAfter].map((b) => Math.min(100, (100 * b) / largest).toFixed(2))
  return `<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="${bytes(bytesBefore)} bytes before, ${bytes(bytesAfter)} after"><rect class="before" width="${before}" height="10"/><rect class="after" width="${after}" height="10"/></svg>`
}

function untouched(rows: readonly Untouched[]): string {
  return table({
    caption: 'Constants that were not compressed, and why',
    head: ['constant', 'bytes', 'why'],
    rows: rows.map((u) => [{ html: nameOf(u.name) }, bytes(u.bytes), { html: escapeHtml(u.reason), kind: 'text' }]),
    narrow: 'stacked',
  })
}

function done(report: Report): string {
  const { heldBack, notes, recipe } = report
  const items = [...(heldBack ? [searched(heldBack)] : []), ...notes]
  return `<ul>${items.map((n) => `<li>${escapeHtml(n)}</li>`).join('\n')}</ul>
${recipe ? `<h3>Recipe</h3><pre>${escapeHtml(recipeText(recipe))}</pre>` : ''}`
}

function loading(report: Report): string {
  const before = report.packedFile
    ? 'In a page or in Node, with any ONNX Runtime:'
    : 'No packed file was written; --pack MODEL.cop writes one. It loads in a page or in Node, with any ONNX Runtime:'
  return `<p class="legend">${before}</p><pre>${escapeHtml(loadingLines(report).join('\n'))}</pre>`
}

/** JSON with a line for each key and each step. */
function recipeText(recipe: Recipe): string {
  const lines = Object.entries(recipe).map(([key, value]) =>
    key === 'steps'
      ? `  "steps": [\n${recipe.steps.map((s) => `    ${JSON.stringify(s)}`).join(',\n')}\n  ]`
      : `  "${key}": ${JSON.stringify(value)}`,
  )
  return `{\n${lines.join(',\n')}\n}`
}

/** Long exporter names show their beginning and their end; a pointer over them shows all. */
function nameOf(name: string): string {
  if (name.length <= 40) return escapeHtml(name)
  return `<span title="${escapeHtml(name)}">${escapeHtml(`${name.slice(0, 15)}…${name.slice(-24)}`)}</span>`
}
