/** Reports as text and as a page, from the same data. */
import { describe, expect, it } from 'vitest'
import { apart } from '../numbers.ts'
import { exampleReport, longName } from '../testing/example-report.ts'
import { countChange, sizeDifference } from './format.ts'
import { renderHtml } from './html.ts'
import type { Report } from './report.ts'
import { comparisonRows, judgedRows } from './rows.ts'
import { renderText, wrap } from './text.ts'
import { renderTraining } from './train-html.ts'
import type { TestScore } from './train-report.ts'
import { searched, shareRange } from './words.ts'

const tilesOf = (html: string): string[] =>
  [...html.matchAll(/<li class="tile (\w+)"><strong>([^<]*)<\/strong><span>([^<]*)/g)].map((m) => m.slice(1).join(' '))

it('colours the score of a training only where the change is outside its interval', () => {
  const tone = (test: TestScore): string =>
    tilesOf(
      renderTraining('net', {
        ...{ model: 'net.onnx', made: '2026-01-01T00:00:00Z', epochs: 1, epoch: 0, engine: 'plain', seconds: 1 },
        history: [{ epoch: 0, loss: 1, learningRate: 0.1 }],
        ...{ curve: [], options: {}, environment: [], test },
      }),
    )[0].split(' ')[0]
  const share = { samples: 1000, measure: 'top-1', before: 0.9266 } as const
  expect([0.92, 0.9266, 0.93, 0.9, 0.95].map((after) => tone({ ...share, after }))).toEqual([
    ...['plain', 'plain', 'plain', 'bad', 'good'],
  ])
  const error = { samples: 200, measure: 'RMS error', before: 1 } as const
  expect([0.95, 1.05, 0.5, 2].map((after) => tone({ ...error, after }))).toEqual(['plain', 'plain', 'good', 'bad'])
})

describe('the page', () => {
  it('shows first what the goal was, and colours by what is good and what is bad', () => {
    const tiles = tilesOf(renderHtml(exampleReport))
    expect(tiles).toEqual([
      'good 9.04 x smaller to download',
      // A loss within the limit is what was asked for.
      'good 91.62 % top-1 accuracy',
      'bad 1.39 x slower',
    ])
    const speed = renderHtml({ ...exampleReport, goal: 'speed' })
    expect(tilesOf(speed)).toEqual([tiles[2], tiles[1], tiles[0]])
  })

  it('says larger, never 0.7 x smaller, and cannot tell where it cannot', () => {
    const { after } = exampleReport
    const html = renderHtml({
      ...exampleReport,
      after: { ...after, packed: 600_000_000 },
      speedUp: { median: 1.01, low: 0.97, high: 1.04, rounds: 9 },
    })
    expect(tilesOf(html)).toEqual([
      'bad 1.08 x larger to download',
      'good 91.62 % top-1 accuracy',
      'plain could not tell whether it is faster',
    ])
    expect(html).not.toMatch(/0\.\d+ x smaller/)
  })

  it('names the output that is worst where there is no accuracy, and a broken limit', () => {
    const { before, after, judged } = exampleReport
    const [boxes] = judged!.findings
    const without: Report = {
      ...exampleReport,
      before: { ...before, top1: undefined, top5: undefined },
      after: { ...after, top1: undefined, top5: undefined },
      judged: { ...judged!, holds: false, findings: [{ ...boxes, loss: -29.98, spent: 1.002 }] },
    }
    const html = renderHtml(without)
    expect(tilesOf(html)[1]).toBe('bad 29.98 dB of signal to noise (relative error 3.2 %)')
    expect(html).toContain('<td role="cell" data-label="verdict" class="bad">broken</td>')
  })

  it('has the date, what went in, how to load the result, and no script and no link', () => {
    const html = renderHtml(exampleReport)
    for (const text of ['2026-01-02 03:04 UTC', 'images:pictures', '[batch_size,3,224,224]', 'net.cop&#39;)'])
      expect(html).toContain(text)
    expect(html).not.toMatch(/<script|https?:\/\/|src=|href=/)
  })

  it('names every table, and every column and row of it', () => {
    const html = renderHtml(exampleReport)
    const tables = [...html.matchAll(/<table.*?<\/table>/gs)].map((m) => m[0])
    expect(tables).toHaveLength(4)
    for (const table of tables) {
      expect(table).toMatch(/<caption>[A-Z][^<]+<\/caption>/)
      expect(table.match(/<th /g)?.length).toBe(table.match(/scope="(col|row)"/g)?.length)
    }
    const levels = [...html.matchAll(/<h(\d)/g)].map((m) => Number(m[1]))
    expect(levels.every((level, i) => level === 1 || level <= levels[i - 1] + 1)).toBe(true)
  })

  it('escapes names', () => {
    const html = renderHtml({ ...exampleReport, title: '<b>"&\'' })
    expect(html).not.toContain('<b>')
  })
})

describe('the text', () => {
  it('has the warnings first and fits 80 columns, but for names that are longer', () => {
    const lines = renderText(exampleReport).split('\n')
    expect(lines[1]).toBe('warning: the result is 1.39 x slower (1.25 to 1.52)')
    for (const line of lines.slice(1))
      if (!line.includes(longName.slice(0, 20))) expect(line.length, line).toBeLessThanOrEqual(80)
    for (const text of ['91.73 %', '91.62 %', '-0.11 points', '553,437,328', '9.04 x smaller', longName])
      expect(renderText(exampleReport)).toContain(text)
  })

  it('tells the worst of many outputs, and how many more there are', () => {
    const [finding] = exampleReport.judged!.findings
    const findings = Array.from({ length: 12 }, (_, i) => ({ ...finding, output: `out${i}`, spent: i / 10 }))
    const text = renderText({ ...exampleReport, judged: { ...exampleReport.judged!, findings } })
    expect(text).toContain('"out11" (numbers)')
    expect(text).not.toContain('"out3"')
    expect(text).toContain('and 4 more, which lose less of what is allowed')
    // Of an output in many ranges the worst, so that each output is named.
    const grouped = findings.map((f, i) => ({ ...f, output: i < 11 ? 'far' : 'near', group: `range${i}` }))
    const several = renderText({ ...exampleReport, judged: { ...exampleReport.judged!, findings: grouped } })
    expect(several.replaceAll('\n', ' ')).toMatch(/"near", inputs range11.*"far", inputs range10.*and 10 more/)
  })

  it('wraps', () => {
    expect(wrap('a b', 2)).toEqual(['a b'])
    const lines = wrap(`note: ${'word '.repeat(40)}`, 4)
    expect(lines.every((l, i) => l.length <= 80 && l.startsWith(i === 0 ? 'note:' : '    word'))).toBe(true)
    expect(lines.join(' ').match(/word/g)).toHaveLength(40)
  })
})

describe('numbers', () => {
  it('of shares say how sure they are', () => {
    expect(shareRange(0.96, 500)).toBe('95 %: 93.9 to 97.4 %')
    expect(shareRange(1, 100)).toBe('95 %: 96.3 to 100.0 %')
  })

  it('differ in print where they differ', () => {
    expect(apart(0.5004, 0.5)).toEqual(['0.5004', '0.5000'])
    expect(apart(0.5, 0.5)).toEqual(['0.50', '0.50'])
    expect(apart(0.1 + 0.2, 0.3)).toEqual(['0.30', '0.30'])
    expect(apart(0.11, 0.5)).toEqual(['0.11', '0.50'])
  })

  it('of sizes say what they are', () => {
    expect(sizeDifference(1000, 100)).toEqual(['10.0 x', 'smaller'])
    expect(sizeDifference(100, 139)).toEqual(['1.39 x', 'larger'])
    expect(sizeDifference(100_000, 100_012)).toEqual(['12', 'bytes larger'])
    expect(sizeDifference(5, 5)).toEqual(['the same', 'size'])
    expect(countChange(100, 50)).toBe('2.00 x fewer')
    expect(countChange(50, 50)).toBe('')
    expect(countChange(13_056, 13_054)).toBe('2 fewer')
  })

  it('that are not known are said not to be', () => {
    const after = { ...exampleReport.after, nonZero: null }
    const rows = comparisonRows({ ...exampleReport, after }).filter((r) => r.what === '  not zero')
    expect(rows.map((r) => [r.before, r.after, r.change])).toEqual([['138,357,544', 'not known', '']])
  })

  it('of an output without noise are no infinities', () => {
    const [finding] = exampleReport.judged!.findings
    const findings = [{ ...finding, loss: Number.NEGATIVE_INFINITY, interval: undefined, spent: 0 }]
    const [row] = judgedRows({ ...exampleReport, judged: { ...exampleReport.judged!, findings } })
    expect(Object.values(row).join()).not.toMatch(/Infinity|NaN/)
    const heldBack = { what: 'output noise', unit: 'dB of noise', loss: Number.NEGATIVE_INFINITY, limit: -30 } as const
    expect(searched(heldBack)).toBe('The search judged by output noise: no noise at all (limit: at least 30.0 dB).')
  })

  it('of a search that leaves room are said to', () => {
    const heldBack = { what: 'output noise', unit: 'dB of noise', loss: -60.2, limit: -59.4, isTighter: true } as const
    expect(searched(heldBack)).toBe(
      'The search judged by output noise: 60.2 dB kept (limit: at least 59.4 dB, tighter than was asked for).',
    )
  })
})

it('a limit that held is said to be unsure where the interval reaches past it, in both reports', () => {
  const [boxes, logits] = exampleReport.judged!.findings
  const reportOf = (...findings: (typeof boxes)[]): Report => ({
    ...exampleReport,
    judged: { ...exampleReport.judged!, findings },
  })
  const past = { ...boxes, loss: -30.4, interval: [-31.2, -29.6] as const, spent: 0.95 }
  const lost = { ...logits, loss: 0.45, interval: [0.1, 0.8] as const, spent: 0.9 }
  const said = (report: Report): string[] =>
    [renderText(report), renderHtml(report)].map(
      (text) => /"boxes"[^."]* held the limit on these samples/.exec(text.replaceAll('&#34;', '"'))?.[0] ?? '',
    )
  const one = '"boxes" held the limit on these samples'
  expect(said(reportOf(past, logits))).toEqual([one, one])
  const two = '"boxes" and 1 more held the limit on these samples'
  expect(said(reportOf(past, lost))).toEqual([two, two])
  // Not where the whole interval keeps it, where it is broken, or where nothing was asked for.
  expect(said(reportOf(boxes, logits))).toEqual(['', ''])
  expect(said(reportOf({ ...past, spent: 1.1 }))).toEqual(['', ''])
  expect(said({ ...reportOf(past), goal: undefined })).toEqual(['', ''])
})
