/** The curves of a sensitivity scan as one HTML file that needs nothing else: a small plot a tensor, in the graph's order. */
import type { ScanCurve, ScanResult, Score } from '../evaluate/scan.ts'
import { count, percent } from './format.ts'

const width = 240
const height = 130
const pad = { left: 34, right: 14, top: 8, bottom: 22 }

export function renderScan(title: string, result: ScanResult): string {
  const { reference, samples, maxLoss, retrainEpochs, curves } = result
  const after = retrainEpochs > 0 ? `with at most ${retrainEpochs} epochs of retraining` : 'without retraining'
  // One scale for all, down to the worst point in steps of ten: curves can be compared, and small losses seen.
  const worst = Math.min(reference.accuracy, ...curves.flatMap((c) => c.points.map((p) => p.accuracy)))
  const lowest = Math.min(0.9, Math.floor(worst * 10 + 1e-9) / 10)
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title><style>${style}</style></head><body><main>
<h1>${escapeHtml(title)}</h1>
<p>Each tensor pruned alone, ${after}. Top-1 accuracy on ${count(samples)} samples of the training set: ${percent(reference.accuracy)} before, dashed. The ring is the largest sparsity that costs at most ${maxLoss} ${maxLoss === 1 ? 'point' : 'points'}; a curve that has fallen to chance, and below that loss, ends there.${knownByHeart(result)}</p>
<section class="curves">${curves.map((c) => figure(c, result, lowest)).join('\n')}</section>
<table><thead><tr><th>tensor</th><th>layer</th><th>shape</th><th>recommended sparsity</th><th>top-1 there</th></tr></thead><tbody>
${curves.map((c) => `<tr><th scope="row">${escapeHtml(c.name)}</th><td>${escapeHtml(c.op)}</td><td>${c.dims.join(' x ')}</td><td>${percent(c.recommended, 0)}</td><td>${percent(recommendedPoint(c, reference).accuracy)}</td></tr>`).join('\n')}
</tbody></table></main></body></html>
`
}

/** A warning where the network has learnt the samples themselves: it loses more on others. */
export function knownByHeart({ reference }: ScanResult): string {
  return reference.accuracy > 0.995
    ? ' The network knows nearly all of these samples by heart: on new ones it may lose more.'
    : ''
}

function recommendedPoint({ points, recommended }: ScanCurve, reference: Score): Score & { readonly sparsity: number } {
  return points.find((p) => p.sparsity === recommended) ?? { sparsity: 0, ...reference }
}

function figure(curve: ScanCurve, { reference, sparsities }: ScanResult, lowest: number): string {
  const last = sparsities[sparsities.length - 1]
  const x = (s: number): number => pad.left + (s / last) * (width - pad.left - pad.right)
  const y = (a: number): number => pad.top + ((1 - a) / (1 - lowest)) * (height - pad.top - pad.bottom)
  const at = (s: number, a: number): string => `${x(s).toFixed(1)},${y(a).toFixed(1)}`
  const points = [{ sparsity: 0, accuracy: reference.accuracy }, ...curve.points]
  const chosen = recommendedPoint(curve, reference)
  const label = `${curve.name}: ${points.map((p) => `${percent(p.accuracy)} at ${percent(p.sparsity, 0)} zeros`).join(', ')}`
  return `<figure><figcaption>${escapeHtml(curve.name)}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(label)}">
${[lowest, (1 + lowest) / 2, 1].map((a) => `<line class="grid" x1="${pad.left}" x2="${width - pad.right}" y1="${y(a)}" y2="${y(a)}"/><text x="${pad.left - 4}" y="${y(a) + 3}" text-anchor="end">${percent(a, 0)}</text>`).join('')}
${[0, last / 2, last].map((s) => `<text x="${x(s).toFixed(1)}" y="${height - 6}" text-anchor="middle">${percent(s, 0)}</text>`).join('')}
<line class="before" x1="${pad.left}" x2="${width - pad.right}" y1="${y(reference.accuracy)}" y2="${y(reference.accuracy)}"/>
<polyline points="${points.map((p) => at(p.sparsity, p.accuracy)).join(' ')}"/>
<circle cx="${x(chosen.sparsity).toFixed(1)}" cy="${y(chosen.accuracy).toFixed(1)}" r="4"/></svg></figure>`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c)
}

const style = `body{font:15px/1.5 system-ui,sans-serif;margin:0;color:#1c2430;background:#fff}main{max-width:1100px;margin:0 auto;padding:24px}
.curves{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:12px}figure{margin:0}
figcaption{font-size:13px;font-weight:600;overflow-wrap:anywhere}svg{width:100%;height:auto}text{font-size:9px;fill:#5b6675}
.grid{stroke:#e3e7ec}.before{stroke:#8a94a3;stroke-dasharray:3 3}polyline{fill:none;stroke:#1f6f8b;stroke-width:2}
circle{fill:#fff;stroke:#c2512f;stroke-width:2}table{border-collapse:collapse;margin-top:24px}th,td{text-align:left;padding:3px 14px 3px 0;border-bottom:1px solid #e3e7ec;font-variant-numeric:tabular-nums}`
