/** A report from code: one call on what `compress` gave. */
import { expect, it } from 'vitest'
import { compress } from '../compress/compress.ts'
import { bindSplits } from '../data/bind-splits.ts'
import { drawDigits } from '../data/digits.ts'
import { writeModel } from '../onnx/write.ts'
import { exampleModel } from '../testing/test-method.ts'
import { lenet300 } from '../zoo/lenet.ts'
import { renderHtml } from './html.ts'
import { reportOf } from './report-of.ts'
import { comparisonRows } from './rows.ts'
import { renderText } from './text.ts'

it('says all of a result without data: sizes, what was judged, and that random inputs may not show the loss', async () => {
  const model = exampleModel()
  const told: string[] = []
  const result = await compress(model, { warn: (message) => told.push(message) })
  expect(result.warnings[0]).toMatch(/^no data was given/)
  expect(told).toEqual(result.warnings)
  const shares: number[] = []
  const report = await reportOf(result, { skipLatency: true, progress: (done) => shares.push(done) })
  expect(report.title).toBe('original, compressed for size')
  expect(report.before.bytes).toBe(writeModel(model).byteLength)
  expect(report.after.packed).toBe(result.packed.byteLength)
  expect(report.judged?.holds).toBe(true)
  expect(report.warnings).toEqual(result.warnings)
  expect(report.recipe).toBe(result.recipe)
  expect(report.layers.length).toBeGreaterThan(0)
  expect(shares.length).toBeGreaterThan(2)
  expect(shares.every((s) => s >= 0 && s <= 1)).toBe(true)
  expect(renderText(report)).toContain('warning: no data was given')
  expect(renderHtml(report)).toContain('original, compressed for size')
})

it('says what the bytes of both files are, metadata too', async () => {
  const model = { ...exampleModel(), metadata: [{ key: 'labels', value: 'cat,dog,'.repeat(1000) }] }
  const result = await compress(model)
  const rows = comparisonRows(await reportOf(result, { skipLatency: true }))
  const number = (text: string): number => Number(text.replaceAll(',', ''))
  const at = rows.findIndex((r) => r.what === '.onnx bytes')
  const parts = rows.slice(at + 1, at + 4)
  expect(parts.map((r) => r.what)).toEqual(['  constants, as stored', '  metadata', '  nodes, names'])
  for (const side of ['before', 'after'] as const)
    expect(parts.reduce((sum, r) => sum + number(r[side]), 0)).toBe(number(rows[at][side]))
  expect(number(parts[1].after)).toBeGreaterThan(8000)
})

it('names the data, and tells first where the limit is broken', async () => {
  const model = lenet300({ seed: 1 })
  const data = bindSplits(model, { train: drawDigits(300, 1), test: drawDigits(200, 2) })
  // Untrained: judged by noise alone, which every limit in dB allows.
  const result = await compress(model, { data, maxLoss: '20dB', task: 'numbers', goal: 'size' })
  const options = { skipLatency: true, names: ['a.onnx', 'b.onnx'], warnings: ['seen before'] } as const
  const report = await reportOf(result, options)
  expect(report.input.data).toBe(data.splits.train.id)
  expect(report.input.samples).toEqual({ training: 300, test: 200 })
  expect(report.warnings[0]).toBe('seen before')
  const broken = await reportOf({ ...result, holds: false }, options)
  expect(broken.warnings[0]).toMatch(/^the limit is broken: output /)
  expect(broken.warnings.slice(1)).toEqual(report.warnings)
})
