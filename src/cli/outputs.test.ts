/** Outputs are checked before work begins: folders, endings, names that are taken. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { checkEnding, checkOutputs } from './outputs.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-outputs-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('names that end as another kind of file are refused, those that do not say what they are are told of', () => {
  expect(checkEnding('a/model.ONNX', '.onnx')).toBeUndefined()
  expect(checkEnding('model-v1.2', '.onnx')).toBe(
    'model-v1.2 is written under that name, though it does not end in .onnx',
  )
  expect(checkEnding('out', '.cop')).toMatch('does not end in .cop')
  expect(() => checkEnding('out.cop', '.onnx')).toThrow('out.cop: expected a name that ends in .onnx')
  expect(() => checkEnding('out.onnx', '.cop')).toThrow('out.onnx: expected a name that ends in .cop')
})

it.runIf(process.platform === 'linux')('folders that only say that they can be written to are refused', () => {
  expect(() => checkOutputs([], ['/proc/x.onnx'])).toThrow('/proc/x.onnx: the folder /proc cannot be written to')
})

it('folders are tried and left as they were', () => {
  checkOutputs([], [join(folder, 'x.onnx')])
  expect(readdirSync(folder)).toEqual([])
  const none = join(folder, 'none')
  expect(() => checkOutputs([], [join(none, 'x.onnx')])).toThrow(`there is no folder ${none}`)
  expect(() => checkOutputs([], [join(folder, 'x'.repeat(300))])).toThrow('the name is too long to write')
})

it.skipIf(process.getuid?.() === 0)('folders without permission are refused', () => {
  const closed = join(folder, 'closed')
  mkdirSync(closed)
  chmodSync(closed, 0o500)
  expect(() => checkOutputs([], [join(closed, 'x.onnx')])).toThrow('cannot be written to')
})
