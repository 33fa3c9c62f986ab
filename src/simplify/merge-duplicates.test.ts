/** Oracle: ONNX Runtime computes the same; the printed text says what was merged. */
import { describe, expect, test } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { storedBytes } from '../graph/walk.ts'
import type { Value } from '../method.ts'
import type { Model, Tensor } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { readModel } from '../onnx/read.ts'
import { printModel } from '../onnx/text.ts'
import { concat } from '../onnx/wire.ts'
import { writeModelChunks } from '../onnx/write.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { randomFeeds } from '../testing/real-models.ts'
import { mergeDuplicates, withoutDuplicates } from './merge-duplicates.ts'
import { withoutNotes } from './strip-notes.ts'

const model = (body: string, head = 'in x: float32[2, 3]\n out y: float32'): Model =>
  parseModel(`ir 8\nopset 17\ngraph g {\n ${head}\n ${body}\n}`)

const run = (m: Model): Promise<Record<string, Value>> =>
  withSession(
    () => openSession(m, { threads: 1 }),
    (session) => session.run(randomFeeds(m)),
  )

const values = 'float32[3] = {1, 2, 3}'
const branches = (body: string): string =>
  `b: bool[] = {1}\n y = If(b) {then_branch: graph t {\n out p: float32\n ${body}\n}, else_branch: graph e {\n out q: float32\n q = Relu(x)\n}}`

describe('merged, with the same outputs', () => {
  test.each<[string, string, number]>([
    ['initialisers', `v: ${values}\n w: ${values}\n a = Add(x, v)\n y = Mul(a, w)`, 1],
    ['three of them', `v: ${values}\n w: ${values}\n u: ${values}\n a = Add(x, v)\n b = Mul(a, w)\n y = Sub(b, u)`, 2],
    [
      'constants into an initialiser',
      `v: ${values}\n a = Add(x, v)\n k = Constant() {value: float32[3] {1, 2, 3}}\n y = Mul(a, k)`,
      1,
    ],
    [
      'constants into the first of them',
      'j = Constant() {value: int64[1] {0}}\n a = Unsqueeze(x, j)\n k = Constant() {value: int64[1] {0}}\n y = Squeeze(a, k)',
      1,
    ],
    [
      'a constant of a nested graph into an outer one',
      `w: ${values}\n c = Add(x, w)\n ${branches('k = Constant() {value: float32[3] {1, 2, 3}}\n p = Mul(c, k)')}`,
      1,
    ],
    [
      'never into a constant that comes later',
      `${branches('k = Constant() {value: float32[3] {1, 2, 3}}\n p = Mul(x, k)').replace(' y = If', ' h = If')}
       w = Constant() {value: float32[3] {1, 2, 3}}\n y = Add(h, w)`,
      0,
    ],
    ['an output stays, others are merged into it', `w: ${values}\n y: ${values}\n z = Add(x, w)`, 1],
  ])('%s', async (_, body, count) => {
    const before = model(body)
    const merged = withoutDuplicates(before)
    expect(merged.count).toBe(count)
    expect(inferShapes(merged.model).problems).toEqual([])
    expect((await run(merged.model)).y).toEqual((await run(before)).y)
  })
})

test.each([
  [
    'of another type',
    'v: int32[1] = {1}\n w: uint32[1] = {1}\n a = Cast(v) {to: 1}\n b = Cast(w) {to: 1}\n y = Add(a, b)',
  ],
  ['of another shape', 'v: float32[2, 1] = {1, 2}\n w: float32[1, 2] = {1, 2}\n y = MatMul(v, w)'],
  ['of other bytes', `v: ${values}\n w: float32[3] = {1, 2, 4}\n a = Add(x, v)\n y = Mul(a, w)`],
  ['of one value throughout', 'v: float32[3] = {1, 1, 1}\n w: float32[3] = {1, 1, 1}\n a = Add(x, v)\n y = Mul(a, w)'],
])('tensors %s stay', (_, body) => {
  const m = model(body)
  expect(withoutDuplicates(m)).toEqual({ model: m, count: 0, bytes: 0 })
})

describe('a matrix stored again, transposed', () => {
  const rng = random(3)
  const matrix = (rows: number, columns: number): Tensor =>
    floatTensor(
      'a',
      [rows, columns],
      Float32Array.from({ length: rows * columns }, () => rng.normal()),
    )
  const turned = (t: Tensor): Tensor => {
    const [rows, columns] = t.dims
    const from = floats(t)
    const to = Float32Array.from({ length: from.length }, (_, i) => from[(i % rows) * columns + Math.floor(i / rows)])
    return floatTensor('b', [columns, rows], to)
  }
  const tied = (a: Tensor, b: Tensor): Model =>
    makeModel(
      {
        nodes: [node('MatMul', ['x', 'a'], ['h']), node('MatMul', ['h', 'b'], ['y'])],
        initializers: new Map([a, b].map((t) => [t.name, t])),
        inputs: [valueInfo('x', 'float32', [2, a.dims[0]])],
        outputs: [valueInfo('y', 'float32')],
      },
      17,
    )

  test.each([
    [40, 24],
    [24, 24],
  ])('%d x %d: becomes a Transpose', async (rows, columns) => {
    const before = tied(matrix(rows, columns), turned(matrix(rows, columns)))
    const a = matrix(rows, columns)
    const same = tied(a, turned(a))
    expect(withoutDuplicates(before).count).toBe(0)
    const merged = withoutDuplicates(same)
    expect(merged).toMatchObject({ count: 1, bytes: 4 * rows * columns })
    expect([...merged.model.graph.initializers.keys()]).toEqual(['a'])
    expect((await run(merged.model)).y).toEqual((await run(same)).y)
  })

  test('one element that differs keeps it, and so does a small size', () => {
    const a = matrix(40, 24)
    const b = turned(a)
    const values = floats(b).slice()
    values[values.length - 2] += 1
    expect(withoutDuplicates(tied(a, floatTensor('b', b.dims, values))).count).toBe(0)
    const small = matrix(4, 3)
    expect(withoutDuplicates(tied(small, turned(small))).count).toBe(0)
  })

  test('a symmetric matrix is no copy of itself', async () => {
    const identity = (name: string, scale: number): Tensor =>
      floatTensor(
        name,
        [24, 24],
        Float32Array.from({ length: 24 * 24 }, (_, i) => (i % 25 === 0 ? scale : 0)),
      )
    expect(withoutDuplicates(tied(identity('a', 1), identity('b', 2))).count).toBe(0)
    const same = tied(identity('a', 1), identity('b', 1))
    const merged = withoutDuplicates(same)
    expect(merged.count).toBe(1)
    expect((await run(merged.model)).y).toEqual((await run(same)).y)
  })
})

test('inputs that a caller can override stay, and names that a nested graph gives anew', async () => {
  const overridable = model(
    `v: ${values}\n w: ${values}\n a = Add(x, v)\n y = Mul(a, w)`,
    'in x: float32[2, 3] in w: float32[3]\n out y: float32',
  )
  expect(await mergeDuplicates(overridable)).toBe(overridable)
  const shadowed = model(
    `v: ${values}\n u: ${values}\n a = Add(x, v)\n ${branches('v = Neg(x)\n k = Mul(v, u)\n p = Add(k, a)')}`,
  )
  expect(printModel(await mergeDuplicates(shadowed))).toBe(printModel(shadowed))
})

test('the copy is gone, and everything reads the first', () => {
  const merged = withoutDuplicates(model(`v: ${values}\n w: ${values}\n a = Add(x, v)\n ${branches('p = Mul(a, w)')}`))
  expect(merged.bytes).toBe(12)
  expect(printModel(merged.model)).toMatchInlineSnapshot(`
    "ir 8
    opset 17
    graph g {
      in x: float32[2, 3]
      out y: float32
      v: float32[3] = {1, 2, 3}
      b: bool[] = {1}
      a = Add(x, v)
      y = If(b) {then_branch: graph t {
        out p: float32
        p = Mul(a, v)
      }, else_branch: graph e {
        out q: float32
        q = Relu(x)
      }}
    }
    "
  `)
})

test('data that lies in another file is read only of tensors that are alike in form', () => {
  const m = model(
    'v: float32[3, 2] = {1, 2, 3, 4, 5, 6}\n w: float32[2, 2] = {1, 2, 3, 4}\n a = MatMul(x, v)\n y = MatMul(a, w)',
  )
  const { model: head, external } = writeModelChunks(m, { external: { location: 'w', minBytes: 1 } })
  let reads = 0
  const file = concat(external?.chunks ?? [])
  const read = (at: number, length: number): Uint8Array => {
    reads++
    return file.subarray(at, at + length)
  }
  const far = readModel(concat(head.chunks), { external: () => ({ byteLength: file.length, read }) })
  const noted = { ...far, graph: { ...far.graph, initializers: new Map(far.graph.initializers) } }
  const v = far.graph.initializers.get('v') as Tensor
  const trace = { docString: { value: 'File "/home/me/a.py", line 3', enumerable: true } }
  noted.graph.initializers.set(
    'v',
    Object.defineProperties({} as Tensor, { ...Object.getOwnPropertyDescriptors(v), ...trace }),
  )
  const slim = withoutNotes(noted)
  expect(slim.bytes).toBe(28)
  expect(withoutDuplicates(slim.model).count).toBe(0)
  expect(storedBytes(slim.model)).toBe(40)
  expect(reads).toBe(0)
  expect(printModel(slim.model)).toBe(printModel(m))
})
