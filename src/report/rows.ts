/** The before/after rows that the terminal and the page share. */

import { speedInWords } from '../speed-up.ts'
import { bytes, count, milliseconds, percent, points, ratio } from './format.ts'
import type { Report } from './report.ts'

export interface ComparisonRow {
  readonly what: string
  readonly before: string
  readonly after: string
  readonly change: string
}

export function comparisonRows({ before, after, speedUp, agreement, testSet }: Report): ComparisonRow[] {
  const rows: ComparisonRow[] = []
  const size = (what: string, key: 'bytes' | 'gzip' | 'brotli' | 'packed'): void => {
    const [from, to] = [before[key], after[key]]
    if (from === undefined || to === undefined) return
    rows.push({ what, before: bytes(from), after: bytes(to), change: `${ratio(from, to)} smaller` })
  }
  rows.push({
    what: 'download: .onnx before, packed after',
    before: bytes(before.bytes),
    after: bytes(after.packed),
    change: `${ratio(before.bytes, after.packed)} smaller`,
  })
  size('.onnx bytes', 'bytes')
  size('.onnx bytes, gzip 9', 'gzip')
  size('.onnx bytes, brotli 11', 'brotli')
  size('packed bytes', 'packed')
  rows.push({ what: 'parameters', before: count(before.params), after: count(after.params), change: '' })
  rows.push({
    what: 'parameters not zero',
    before: count(before.nonZero),
    after: count(after.nonZero),
    change: percent(after.nonZero / Math.max(1, before.nonZero), 1),
  })
  if (before.macs !== null && after.macs !== null) {
    rows.push({
      what: 'multiply-adds',
      before: count(before.macs),
      after: count(after.macs),
      change: before.macs === after.macs ? '' : ratio(before.macs, after.macs),
    })
  }
  if (before.top1 !== undefined && after.top1 !== undefined) {
    rows.push({
      what: `top-1, ${count(testSet?.samples ?? 0)} test samples`,
      before: percent(before.top1),
      after: percent(after.top1),
      change: points(before.top1, after.top1),
    })
  }
  if (before.top5 !== undefined && after.top5 !== undefined) {
    rows.push({
      what: 'top-5',
      before: percent(before.top5),
      after: percent(after.top5),
      change: points(before.top5, after.top5),
    })
  }
  if (agreement?.top1 !== undefined)
    rows.push({ what: 'same top class', before: '', after: percent(agreement.top1), change: '' })
  if (before.latencyMs && after.latencyMs && speedUp) {
    rows.push({
      what: 'latency a call (10-90 %)',
      before: milliseconds(before.latencyMs),
      after: milliseconds(after.latencyMs),
      change: speedInWords(speedUp),
    })
  }
  return rows
}
