/** The report as one HTML file that needs nothing else: no script, no network. */

import type { Recipe } from '../recipe.ts'
import { factor, type SpeedUp, speedInWords, speedVerdict } from '../speed-up.ts'
import { escapeHtml, renderPage, tile } from './_page.ts'
import { bytes, count, decibels, percent } from './format.ts'
import type { LayerRow, Report, Untouched } from './report.ts'
import { comparisonRows } from './rows.ts'
import { lost } from './text.ts'

export function renderHtml(report: Report): string {
  const { before, after, agreement, heldBack } = report
  const headline = [
    tile(
      (before.bytes / after.packed).toFixed(1) + ' x',
      'smaller to download',
      `${bytes(before.bytes)} to ${bytes(after.packed)} bytes`,
    ),
    ...(before.top1 !== undefined && after.top1 !== undefined
      ? [
          tile(
            percent(after.top1),
            'top-1 after',
            `${percent(before.top1)} before, on ${count(report.testSet?.samples ?? 0)} test samples`,
          ),
        ]
      : agreement
        ? [
            tile(
              agreement.top1 === undefined ? decibels(agreement.snrDb) : percent(agreement.top1),
              agreement.top1 === undefined ? 'signal to noise' : 'same top class',
              `against the original, on ${agreement.on}`,
            ),
          ]
        : []),
    ...(report.speedUp ? [speedTile(report.speedUp)] : []),
  ]
  const rows = comparisonRows(report).map(
    (r) =>
      `<tr><th scope="row">${escapeHtml(r.what)}</th><td>${escapeHtml(r.before)}</td><td>${escapeHtml(r.after)}</td><td>${escapeHtml(r.change)}</td></tr>`,
  )
  const body = `<section><h2>Before and after</h2>
<table><thead><tr><th></th><th>before</th><th>after</th><th>change</th></tr></thead><tbody>${rows.join('')}</tbody></table></section>
${report.layers.length > 0 ? layerSection(report.layers) : ''}
${report.untouched?.length ? untouchedSection(report.untouched) : ''}
<section><h2>What was done</h2>
<ul>
${heldBack ? `<li>Searched by ${escapeHtml(heldBack.what)}: ${escapeHtml(lost(heldBack))}. Test data was not looked at before the end.</li>` : ''}
${agreement ? `<li>Outputs against the original's on ${escapeHtml(agreement.on)}: signal to noise ${decibels(agreement.snrDb)}, largest difference ${agreement.maxAbsDiff.toPrecision(3)}.</li>` : ''}
${report.notes.map((n) => `<li>${escapeHtml(n)}</li>`).join('\n')}
</ul>
${report.recipe ? `<h3>Recipe</h3><pre>${escapeHtml(recipeText(report.recipe))}</pre>` : ''}
</section>`
  return renderPage({ ...report, tiles: headline, body })
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

/** A bar a layer: its bytes before, and inside it the bytes after. */
function layerSection(layers: readonly LayerRow[]): string {
  const largest = Math.max(1, ...layers.map((l) => l.bytesBefore))
  const most = Math.max(...layers.map((l) => l.sensitivity ?? 0))
  const rows = layers.map((l) => {
    const before = (100 * l.bytesBefore) / largest
    const after = (100 * l.bytesAfter) / largest
    const sensitivity =
      l.sensitivity === undefined
        ? ''
        : `<span class="dot" style="opacity:${(0.1 + 0.9 * Math.sqrt(l.sensitivity / most)).toFixed(2)}"></span>${l.sensitivity.toExponential(1)}`
    return `<tr><th scope="row" title="${escapeHtml(l.name)}">${escapeHtml(shorten(l.name))}</th><td>${escapeHtml(l.op)}</td><td>${count(l.weights)}</td>
<td class="bar"><svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="${bytes(l.bytesBefore)} bytes before, ${bytes(l.bytesAfter)} after"><rect class="before" width="${before.toFixed(2)}" height="10"/><rect class="after" width="${after.toFixed(2)}" height="10"/></svg></td>
<td>${bytes(l.bytesBefore)}</td><td>${bytes(l.bytesAfter)}</td><td>${l.bitsPerWeight.toFixed(2)}</td><td>${percent(l.sparsity, 0)}</td>${most > 0 ? `<td>${sensitivity}</td>` : ''}</tr>`
  })
  return `<section><h2>Layer by layer</h2>
<p class="legend"><span class="swatch before"></span> bytes before <span class="swatch after"></span> bytes in the packed file (each tensor coded alone).${most > 0 ? " Sensitivity: how much the output diverges for a squared error of 1 of the layer's output." : ''}</p>
<div class="scroll"><table class="layers"><thead><tr><th>weight</th><th>op</th><th>weights</th><th></th><th>before</th><th>after</th><th>bits / weight</th><th>zeros</th>${most > 0 ? '<th>sensitivity</th>' : ''}</tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`
}

function untouchedSection(untouched: readonly Untouched[]): string {
  const rows = untouched.map(
    (u) =>
      `<tr><th scope="row" title="${escapeHtml(u.name)}">${escapeHtml(shorten(u.name))}</th><td>${bytes(u.bytes)}</td><td>${escapeHtml(u.reason)}</td></tr>`,
  )
  return `<section><h2>Left as it was</h2>
<div class="scroll"><table><thead><tr><th>constant</th><th>bytes</th><th>why</th></tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`
}

function speedTile(speedUp: SpeedUp): string {
  const verdict = speedVerdict(speedUp)
  if (verdict === 'could not tell') return tile('could not tell', 'which is faster', speedInWords(speedUp))
  const ratio = verdict === 'faster' ? speedUp.median : 1 / speedUp.median
  return tile(`${factor(ratio)} x`, verdict, speedInWords(speedUp))
}

function shorten(name: string): string {
  return name.length > 36 ? `${name.slice(0, 14)}…${name.slice(-21)}` : name
}
