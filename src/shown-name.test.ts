/** Names of any length and of any characters, as people are shown them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { runInspect } from './cli/commands/inspect.ts'
import { compress } from './compress/compress.ts'
import { model, node, valueInfo } from './graph/build.ts'
import { saveModel } from './node/files.ts'
import { reportOf } from './report/report-of.ts'
import { renderText } from './report/text.ts'
import { floatTensor } from './tensor/dtype.ts'
import { random } from './tensor/random.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-names-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const long = (first: string): string => `${first}\nforged: all is well ${'x'.repeat(5000)}`
const rng = random(2)
const net = model({
  nodes: [node('MatMul', [long('in'), long('w')], [long('h')]), node('Add', [long('h'), long('b')], [long('out')])],
  initializers: new Map([
    [
      long('w'),
      floatTensor(
        long('w'),
        [16, 32],
        Float32Array.from({ length: 512 }, () => rng.normal()),
      ),
    ],
    [long('b'), floatTensor(long('b'), [32], new Float32Array(32).fill(0.5))],
  ]),
  inputs: [valueInfo(long('in'), 'float32', ['N', 16])],
  outputs: [valueInfo(long('out'), 'float32', ['N', 32])],
})

function expectShort(text: string): void {
  const lines = text.split('\n')
  expect(lines.filter((line) => line.startsWith('forged'))).toEqual([])
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(600)
}

it('inspect cuts and escapes them', async () => {
  const path = join(folder, 'net.onnx')
  await saveModel(path, net)
  const { output } = await runInspect(path, {})
  expect(output).toContain('in\\nforged')
  expectShort(output)
})

it('the report cuts and escapes them', { timeout: 30_000 }, async () => {
  const text = renderText(await reportOf(await compress(net, { seed: 1 })))
  expect(text).toContain('out\\nforged')
  expectShort(text)
})
