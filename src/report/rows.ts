/** The rows that the terminal and the page share. */

import { partsBeside } from '../evaluate/file-parts.ts'
import { apart } from '../numbers.ts'
import { shownName } from '../shown-name.ts'
import { speedInWords, speedVerdict } from '../speed-up.ts'
import { accuracyInWords } from '../task/task.ts'
import type { Finding } from '../task/verdict.ts'
import type { Tone } from './_page.ts'
import { bytes, count, countChange, milliseconds, percent, points, signed, sizeDifference } from './format.ts'
import type { Report } from './report.ts'

export interface ComparisonRow {
  readonly what: string
  readonly before: string
  readonly after: string
  readonly change: string
  readonly tone: Tone
}

export function comparisonRows(report: Report): ComparisonRow[] {
  const { before, after } = report
  const size = (what: string, from: number | undefined, to: number | undefined): ComparisonRow[] =>
    from === undefined || to === undefined
      ? []
      : [
          {
            what,
            before: bytes(from),
            after: bytes(to),
            change: sizeDifference(from, to).join(' '),
            tone: toneOf(from - to),
          },
        ]
  const counted = (what: string, from: number | null, to: number | null): ComparisonRow[] =>
    from === null && to === null
      ? []
      : [
          {
            what,
            before: from === null ? 'not known' : count(from),
            after: to === null ? 'not known' : count(to),
            change: from === null || to === null ? '' : countChange(from, to),
            tone: 'plain',
          },
        ]
  return [
    ...size('to download', before.bytes, after.packed),
    ...size('.onnx bytes', before.bytes, after.bytes),
    ...partsBeside(before, after).flatMap(([name, from, to]) => size(`  ${name}`, from, to)),
    ...size('.onnx, gzip 9', before.gzip, after.gzip),
    ...size('.onnx, brotli 11', before.brotli, after.brotli),
    ...size('packed bytes', before.packed, after.packed),
    ...counted('parameters', before.params, after.params),
    ...counted('  not zero', before.nonZero, after.nonZero),
    ...counted('multiply-adds', before.macs, after.macs),
    ...accuracyRows(report),
    ...speedRows(report),
  ]
}

/** Above what the rows say, for the first of them. */
export const downloadLegend = 'To download: the .onnx before, the packed file after.'

/** A gain is good, a loss bad. */
export function toneOf(gain: number): Tone {
  if (gain === 0) return 'plain'
  return gain > 0 ? 'good' : 'bad'
}

function accuracyRows({ before, after, judged, agreement }: Report): ComparisonRow[] {
  const loss = judged?.findings.find((f) => f.unit === 'points of accuracy')
  const rows: ComparisonRow[] = []
  for (const key of ['top1', 'top5'] as const) {
    const [from, to] = [before[key], after[key]]
    if (from === undefined || to === undefined) continue
    const interval =
      key === 'top1' && loss?.interval ? ` (${signed(-loss.interval[1])} to ${signed(-loss.interval[0])})` : ''
    rows.push({
      what: key === 'top1' ? accuracyInWords(loss?.kind) : 'top-5 accuracy',
      before: percent(from),
      after: percent(to),
      change: `${points(from, to)}${interval}`,
      // A loss within the limit is what was asked for.
      tone: judged && loss ? (loss.spent > 1 ? 'bad' : 'plain') : 'plain',
    })
  }
  if (rows.length === 0 && agreement?.top1 !== undefined)
    rows.push({ what: 'same top class', before: '', after: percent(agreement.top1), change: '', tone: 'plain' })
  return rows
}

function speedRows({ before, after, speedUp }: Report): ComparisonRow[] {
  if (!before.latencyMs || !after.latencyMs || !speedUp) return []
  return [
    {
      what: 'time per call',
      before: milliseconds(before.latencyMs.median),
      after: milliseconds(after.latencyMs.median),
      change: speedInWords(speedUp),
      tone: { faster: 'good', slower: 'bad', 'could not tell': 'plain' }[speedVerdict(speedUp)] as Tone,
    },
  ]
}

export interface JudgedRow {
  /** The output's name alone. */
  readonly of: string
  readonly output: string
  readonly kind: string
  /** What was lost or kept: "37.5 dB" and of what. */
  readonly value: string
  readonly what: string
  /** The 95 % interval of that. */
  readonly interval: string
  /** "30.0 dB or more", "0.50 or less"; empty without a limit. */
  readonly limit: string
  readonly broken: boolean
}

/** Every output, the worst first. */
export function judgedRows({ judged }: Report): JudgedRow[] {
  return [...(judged?.findings ?? [])].sort((a, b) => b.spent - a.spent).map(judgedRow)
}

function judgedRow(f: Finding): JudgedRow {
  const { output, kind, added, group, unit, loss, limit, interval, spent } = f
  const shown = `"${shownName(output)}"${added ? ' (what the weights add)' : ''}`
  const about = { of: shown, output: group ? `${shown}, inputs ${group}` : shown, kind, broken: spent > 1 }
  if (unit === 'dB of noise') {
    const [kept, least] = apart(-loss, -limit, 1)
    const exact = !Number.isFinite(loss)
    return {
      ...about,
      value: exact ? 'no noise' : `${kept} dB`,
      what: exact ? 'at all' : `of signal to noise (relative error ${(100 * 10 ** (loss / 20)).toPrecision(2)} %)`,
      interval: interval ? `${(-interval[1]).toFixed(1)} to ${(-interval[0]).toFixed(1)} dB` : '',
      limit: Number.isFinite(limit) ? `${least} dB or more` : '',
    }
  }
  const [lost, most] = apart(loss, limit)
  return {
    ...about,
    value: `${lost} points`,
    what: `${unit.replace('points ', '')} lost`,
    interval: interval ? `${interval[0].toFixed(2)} to ${interval[1].toFixed(2)}` : '',
    limit: Number.isFinite(limit) ? `${most} or less` : '',
  }
}

/** That a limit which held on the samples may not hold on others, where an interval reaches past it. */
export function unsureInWords({ judged, goal }: Pick<Report, 'judged' | 'goal'>): string | undefined {
  const reaches = (f: Finding): boolean => f.spent <= 1 && f.interval !== undefined && f.interval[1] > f.limit
  const [first, ...others] = goal ? new Set(judged?.findings.filter(reaches).map((f) => f.output)) : []
  if (first === undefined) return undefined
  const who = others.length === 0 ? `"${shownName(first)}"` : `"${shownName(first)}" and ${count(others.length)} more`
  return `${who} held the limit on these samples, but the 95 % interval reaches past it: on other samples of the same kind more may be lost than the limit allows; a lower --max-loss leaves room for that.`
}

/** What the figures were found on, as pairs of a name and what it is. */
export function factRows({
  input,
  speedUp,
  judged,
  testSet,
}: Pick<Report, 'input' | 'speedUp' | 'judged' | 'testSet'>): [string, string][] {
  const { inputs, data, samples, preprocessing, seed, threads } = input
  const on = judged?.on ?? (testSet && `${count(testSet.samples)} test samples`)
  const rows: [string, string | undefined][] = [
    ['model inputs', inputs.join('; ') || 'none'],
    ['data', data ?? (on ? 'none: inputs were random' : 'none')],
    ['samples', samples && `${count(samples.training)} to train or search on, ${count(samples.test)} to test on`],
    ['preprocessing', preprocessing],
    ['judged on', on],
    ['threads', threads === undefined ? "ONNX Runtime's own choice" : count(threads)],
    ['times', speedUp && `the models in turn, ${count(speedUp.rounds)} calls of each; intervals of 99 %`],
    ['seed', String(seed)],
  ]
  return rows.flatMap(([name, what]) => (what === undefined ? [] : [[name, what]]))
}

/** The three lines that load the packed file in a page. */
export function loadingLines({ packedFile }: Report): string[] {
  return [
    "import * as ort from 'onnxruntime-web'",
    "import { loadSession } from 'coppice/runtime'",
    `const session = await loadSession(ort, '${packedFile ?? 'MODEL.cop'}')`,
  ]
}
