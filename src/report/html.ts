/** The report as one HTML file that needs nothing else: no script, no network. */

import type { Recipe } from '../recipe.ts'
import { bytes, count, decibels, percent } from './format.ts'
import type { LayerRow, Report } from './report.ts'
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
    ...(report.speedUp
      ? [
          tile(
            report.speedUp.median.toFixed(2) + ' x',
            'speed',
            'time before / time after, interleaved; above 1 is faster',
          ),
        ]
      : []),
  ]
  const rows = comparisonRows(report).map(
    (r) =>
      `<tr><th scope="row">${escapeHtml(r.what)}</th><td>${escapeHtml(r.before)}</td><td>${escapeHtml(r.after)}</td><td>${escapeHtml(r.change)}</td></tr>`,
  )
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(report.title)}</title><style>${style}</style></head><body><main>
<h1>${escapeHtml(report.title)}</h1>
<section class="tiles">${headline.join('')}</section>
${report.warnings.length > 0 ? `<section class="warnings"><h2>Warnings</h2><ul>${report.warnings.map((w) => `<li>${escapeHtml(w)}</li>`).join('')}</ul></section>` : ''}
<section><h2>Before and after</h2>
<table><thead><tr><th></th><th>before</th><th>after</th><th>change</th></tr></thead><tbody>${rows.join('')}</tbody></table></section>
${report.layers.length > 0 ? layerSection(report.layers) : ''}
<section><h2>What was done</h2>
<ul>
${heldBack ? `<li>Searched by ${escapeHtml(heldBack.what)}: lost ${escapeHtml(lost(heldBack))}. Test data was not looked at before the end.</li>` : ''}
${agreement ? `<li>Outputs against the original's on ${escapeHtml(agreement.on)}: signal to noise ${decibels(agreement.snrDb)}, largest difference ${agreement.maxAbsDiff.toPrecision(3)}.</li>` : ''}
${report.notes.map((n) => `<li>${escapeHtml(n)}</li>`).join('\n')}
</ul>
${report.recipe ? `<h3>Recipe</h3><pre>${escapeHtml(recipeText(report.recipe))}</pre>` : ''}
</section>
<footer>${report.environment.map(escapeHtml).join(' · ')}</footer>
</main></body></html>
`
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

function tile(value: string, what: string, more: string): string {
  return `<div class="tile"><strong>${escapeHtml(value)}</strong><span>${escapeHtml(what)}</span><small>${escapeHtml(more)}</small></div>`
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

function shorten(name: string): string {
  return name.length > 36 ? `${name.slice(0, 14)}…${name.slice(-21)}` : name
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}

const style = `
:root{color-scheme:light dark;--ink:#1d2a24;--soft:#5d6b64;--line:#dde4df;--paper:#fff;--ground:#f4f7f5;--leaf:#2f7d4f;--bark:#c9d3cd;--warn:#8a4b00;--warnground:#fff4e2}
@media(prefers-color-scheme:dark){:root{--ink:#e6ece8;--soft:#9baba2;--line:#2c3832;--paper:#17201b;--ground:#0f1512;--leaf:#5cc488;--bark:#3b4a42;--warn:#ffc37a;--warnground:#3a2a12}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1060px;margin:0 auto;padding:2rem 1.25rem 3rem}h1{font-size:1.5rem;margin:0 0 1.25rem;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:0 0 .75rem}h3{font-size:.95rem;margin:1rem 0 .5rem}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1.1rem 1.25rem;margin:0 0 1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));gap:1rem;background:none;border:0;padding:0}
.tile{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1rem 1.25rem;display:flex;flex-direction:column}
.tile strong{font-size:2rem;line-height:1.15;color:var(--leaf)}.tile span{font-weight:600}.tile small{color:var(--soft)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:.32rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}th{font-weight:500}thead th{color:var(--soft);font-size:.85rem}tbody tr:last-child>*{border-bottom:0}
.layers td:nth-child(2){text-align:left;color:var(--soft)}.layers{font-size:.88rem}.bar{width:26%;min-width:140px}.bar svg{display:block;width:100%;height:12px}
.before{fill:var(--bark)}.after{fill:var(--leaf)}.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-left:.6em}.swatch.before{background:var(--bark);margin-left:0}.swatch.after{background:var(--leaf)}
.legend{color:var(--soft);font-size:.88rem;margin:0 0 .75rem}.scroll{overflow-x:auto}.dot{display:inline-block;width:.65em;height:.65em;border-radius:50%;background:var(--leaf);margin-right:.4em}
.warnings{background:var(--warnground);color:var(--warn)}ul{margin:0;padding-left:1.2rem}pre{background:var(--ground);border-radius:8px;padding:.75rem 1rem;overflow-x:auto;font-size:.82rem;margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
footer{color:var(--soft);font-size:.82rem}`
