/** The curves of a sensitivity scan as one HTML file that needs nothing else: a small plot per tensor, in the graph's order. */
import type { ScanCurve, ScanResult, Score } from '../search/scan.ts'
import { accuracyInWords } from '../task/task.ts'
import { escapeHtml, facts, renderPage, section, table, tile } from './_page.ts'
import { count, percent } from './format.ts'
import { dateInWords, shareRange } from './words.ts'

const width = 240
const height = 130
const pad = { left: 34, right: 14, top: 8, bottom: 22 }

export interface ScanPage {
  readonly title: string
  /** When it was made, as ISO 8601. */
  readonly made: string
  /** What it was found on, as pairs of a name and what it is. */
  readonly facts: readonly (readonly [name: string, what: string])[]
  readonly environment: readonly string[]
}

export function renderScan(page: ScanPage, result: ScanResult): string {
  const { reference, samples, maxLoss, retrainEpochs, curves } = result
  const after = retrainEpochs > 0 ? `with at most ${retrainEpochs} epochs of retraining` : 'without retraining'
  // One scale for all, down to the worst point in steps of ten: curves can be compared, and small losses seen.
  const worst = Math.min(reference.accuracy, ...curves.flatMap((c) => c.points.map((p) => p.accuracy)))
  const lowest = Math.min(0.9, Math.floor(worst * 10 + 1e-9) / 10)
  const share = recommendedShare(curves)
  const measure = measureInWords(result)
  const legend = `<p class="legend">Each tensor pruned alone, ${after}. ${measure[0].toUpperCase()}${measure.slice(1)} by the share of zeros; the dashed line is that before pruning. The ring is the largest sparsity that costs at most ${maxLoss} ${maxLoss === 1 ? 'point' : 'points'}. A curve that has fallen to ${result.measure === 'accuracy' ? 'chance' : 'a tenth'}, and below that loss, ends there.</p>`
  const rows = curves.map((c) => [
    c.name,
    { html: escapeHtml(c.op), kind: 'text' as const },
    c.dims.join(' x '),
    percent(c.recommended, 0),
    percent(recommendedPoint(c, reference).accuracy),
  ])
  const head = ['tensor', 'operator', 'shape', 'recommended sparsity', `${measure} there`]
  return renderPage({
    title: page.title,
    made: dateInWords(page.made),
    tiles: [
      tile(
        percent(share, 0),
        'of the weights could be removed',
        'by the recommendation for each tensor alone; together they lose more',
      ),
      tile(
        percent(reference.accuracy),
        `${measure} before`,
        `on ${count(samples)} samples of the training set${result.measure === 'accuracy' ? `; ${shareRange(reference.accuracy, samples)}` : ''}`,
      ),
      tile(count(curves.length), 'weight tensors', `${after}`),
    ],
    warnings: [memorised(result).trim()].filter((w) => w !== ''),
    body: [
      section(
        'Curves',
        `${legend}\n<div class="charts small">${curves.map((c) => figure(c, result, lowest)).join('\n')}</div>`,
      ),
      section('Recommended', table({ caption: 'Recommended sparsity of each tensor', head, rows, narrow: 'stacked' })),
      section('What it was found on', facts(page.facts)),
    ].join('\n'),
    environment: page.environment,
  })
}

/** The share of all scanned weights that is zero at the recommended sparsities. */
function recommendedShare(curves: readonly ScanCurve[]): number {
  const size = (c: ScanCurve): number => c.dims.reduce((product, d) => product * d, 1)
  const all = curves.reduce((sum, c) => sum + size(c), 0)
  return curves.reduce((sum, c) => sum + c.recommended * size(c), 0) / Math.max(1, all)
}

/** What the percentages of a scan are: of decisions, or of numbers. */
export function measureInWords({ measure, kind }: ScanResult): string {
  return measure === 'accuracy' ? accuracyInWords(kind) : 'variance of the targets explained'
}

/** A warning where the network has learnt the samples themselves: it loses more on others. */
export function memorised({ measure, reference }: ScanResult): string {
  return measure === 'accuracy' && reference.accuracy > 0.995
    ? ' The network has memorised nearly all of these samples: on new ones it may lose more.'
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
<line class="reference" x1="${pad.left}" x2="${width - pad.right}" y1="${y(reference.accuracy)}" y2="${y(reference.accuracy)}"/>
<polyline points="${points.map((p) => at(p.sparsity, p.accuracy)).join(' ')}"/>
<circle class="ring" cx="${x(chosen.sparsity).toFixed(1)}" cy="${y(chosen.accuracy).toFixed(1)}" r="4"/></svg></figure>`
}
