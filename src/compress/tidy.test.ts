/** What compressing leaves out, and that it says so; with the recipe's steps the same comes out. */
import { expect, test } from 'vitest'
import type { Value } from '../method.ts'
import type { Model } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { readModel } from '../onnx/read.ts'
import { printModel } from '../onnx/text.ts'
import { writeModel } from '../onnx/write.ts'
import { runSteps } from '../recipe.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { randomFeeds } from '../testing/real-models.ts'
import { tidy } from './tidy.ts'

const values = Array.from({ length: 16 }, (_, i) => (i * 7) % 11).join(', ')
const plain = parseModel(`ir 10
opset 18
graph towers {
  in a: float32[2, 4]
  in b: float32[2, 4]
  out y: float32[2, 4]
  w1: float32[4, 4] = {${values}}
  w2: float32[4, 4] = {${values}}
  spare: float32[3] = {1, 2, 3}
  s: sparse [4, 4] int64[3] {1, 6, 11} float32[3] {0.5, -2, 3}
  p = MatMul(a, w1)
  q = MatMul(b, w2)
  m = Mul(p, q)
  y = MatMul(m, s)
}
`)
const note = { key: 'pkg.torch.onnx.stack_trace', value: 'File "/home/someone/net.py", line 20, in forward' }
const noted: Model = {
  ...plain,
  metadata: [{ key: 'stride', value: '32' }, note],
  graph: { ...plain.graph, nodes: plain.graph.nodes.map((n) => ({ ...n, metadata: [note] })) },
  training: [{ algorithm: plain.graph }],
}

const run = (m: Model): Promise<Record<string, Value>> =>
  withSession(
    () => openSession(m, { threads: 1 }),
    (session) => session.run(randomFeeds(m)),
  )

test('leftovers are removed and reported with numbers; the outputs stay the same', async () => {
  const file = readModel(writeModel(noted))
  const { model, steps, notes } = await tidy(file)
  expect(notes).toEqual([
    'stored 1 tensor densely that was sparse',
    `removed ${5 * (note.key.length + note.value.length)} bytes of exporter notes (stack traces, class names, paths)`,
    'removed the graphs of training, which no longer fit the weights',
    'removed 1 tensor that nothing reads, 12 bytes',
    'merged 1 tensor stored again, 64 bytes',
  ])
  expect([...model.graph.initializers.keys()].sort()).toEqual(['s', 'w1'])
  expect(model.metadata).toEqual([{ key: 'stride', value: '32' }])
  expect(Buffer.from(writeModel(model)).toString('latin1')).not.toMatch(/someone|stack_trace/)
  expect((await run(model)).y).toEqual((await run({ ...file, training: undefined })).y)
  expect(printModel(await runSteps(file, steps, {}))).toBe(printModel(model))
})

test('notes and graphs of training are kept where asked for', async () => {
  const { model, notes } = await tidy(readModel(writeModel(noted)), { keepMetadata: true })
  expect(model.metadata).toHaveLength(2)
  expect(model.training).toHaveLength(1)
  expect(notes.join()).not.toMatch(/notes|training/)
})

test('where there is nothing to tidy nothing is said', async () => {
  const bare = parseModel('ir 8\nopset 17\ngraph g {\n in x: float32[2]\n out y: float32\n y = Relu(x)\n}')
  const { model, steps, notes } = await tidy(bare)
  expect(printModel(model)).toBe(printModel(bare))
  expect(steps.map(([id]) => id)).toEqual(['remove-unused'])
  expect(notes).toEqual([])
})

test('inputs that had a stored value and become constants are named, unless the file is so old that they always were', async () => {
  const text = (ir: number): string =>
    `ir ${ir}\nopset 17\ngraph g {\n in x: float32[2]\n in t: float32[2]\n out y: float32\n t: float32[2] = {1, 2}\n y = Mul(x, t)\n}`
  expect((await tidy(parseModel(text(8)))).notes).toEqual(['an input that had a stored value can no longer be fed: t'])
  expect((await tidy(parseModel(text(3)))).notes).toEqual([])
})
