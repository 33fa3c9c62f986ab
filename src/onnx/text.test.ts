/** Models as text and back. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openSession } from '../runtime/session.ts'
import { randomModel } from '../testing/random-model.ts'
import { modelsFolder, needsModels } from '../testing/real-models.ts'
import { parseModel } from './parse-text.ts'
import { readModel } from './read.ts'
import { printModel } from './text.ts'
import { writeModel } from './write.ts'

const net = `ir 8
opset 17
opset "com.microsoft" 1
producer "hand" "1"
graph net {
  in x: float32[N, 2]
  out y: float32[N, 2]
  w: float32[2, 2] = {1, 2.5, -0, 1e-7}
  "odd name": int64[1] = {-1}
  h = Gemm(x, w) {alpha: 0.5, transB: 1} @gemm
  c = Constant() {value: bool[] {1}}
  y = If(c) {else_branch: graph no {
    out n: float32
    n = Relu(h)
  }, then_branch: graph yes {
    out z: float32
    z = com.microsoft::QuickGelu(h) {alpha: 1.0}
  }}
  value h: float32[N, ?]
}
`

test('a model by hand: prints as it was written, and runs', async () => {
  const m = parseModel(net)
  expect(printModel(m)).toBe(net)
  expect(printModel(readModel(writeModel(m)))).toBe(net)
  const session = await openSession(m)
  const { y } = await session.run({ x: { dtype: 'float32', dims: [1, 2], data: Float32Array.of(2, 4) } })
  await session.release()
  // h = 0.5 x W', then h sigmoid(h)
  const h = [0.5 * (2 * 1 + 4 * 2.5), 0.5 * (4 * 1e-7)]
  expect(Array.from(y.data, Number)).toEqual(h.map((v) => expect.closeTo(v / (1 + Math.exp(-v)), 5)))
})

test('print(parse(print(m))) is print(m), on random models', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const m = randomModel(seed)
    const text = printModel(m, { values: Number.POSITIVE_INFINITY })
    const again = parseModel(text)
    expect(printModel(again, { values: Number.POSITIVE_INFINITY }), `seed ${seed}`).toBe(text)
  }
})

test('tensors above the limit show a hash that depends on every byte', () => {
  const text = net.replace('{1, 2.5, -0, 1e-7}', '{1, 2.5, -0, 2e-7}')
  const [a, b] = [net, text].map((t) => printModel(parseModel(t), { values: 3 }))
  expect(a).toMatch(/w: float32\[2, 2\] #[0-9a-f]{8}\n/)
  expect(a).not.toBe(b)
  expect(() => parseModel(a)).toThrow(/tensor "w" is printed as a hash/)
})

test.each([
  ['ir 8\nopset 17\ngraph g {\n y = Relu(x\n}', /expected ","; in line 5/],
  ['ir 8\nopset 17\ngraph g {\n w: float32[2] = {1}\n}', /1 elements; expected 2 for tensor "w"; in line 4/],
  ['ir 8\nopset 17\ngraph g {\n w: floot[2] = {1}\n}', /"floot"; expected an element type/],
  ['ir 8\nopset 17\ngraph g {', /it ends here/],
  ['ir 8\nopset 17', /no graph/],
  ['ir 8 §', /cannot read "§"; expected a name.*; in line 1/],
  ['ir 8\nversion 1.5', /"1.5"; expected a whole number; in line 2/],
  ['ir 8\nproducer "a\\x" "b"', /expected one with JSON's escapes; in line 2/],
  ['ir 8\nopset 17\ngraph g {\n w: int64[1] = {1.5}\n}', /"1.5"; expected a number of int64; in line 4/],
  ['ir 8\nopset 17\ngraph g {\n w: float32[1] = {x}\n}', /"x"; expected a number of float32; in line 4/],
])('a mistake is named with its line: %j', (text, message) => {
  expect(() => parseModel(text)).toThrow(message)
})

describe.skipIf(!modelsFolder)(`real models${needsModels}`, () => {
  const files = modelsFolder ? readdirSync(modelsFolder).filter((f) => f.endsWith('.onnx')) : []
  test.each(files)('%s', (file) => {
    const bytes = readFileSync(join(modelsFolder as string, file))
    const m = readModel(bytes)
    const text = printModel(m, { values: 1000 })
    expect(text).toBe(printModel(readModel(bytes), { values: 1000 }))
    if (bytes.length > 110_000) return // elements of large models take long to print in full
    const full = printModel(m, { values: Number.POSITIVE_INFINITY })
    expect(printModel(parseModel(full), { values: 1000 })).toBe(text)
  })
})
