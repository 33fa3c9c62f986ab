/** Oracle: ONNX Runtime computes the same bits before and after. */
import { describe, expect, test } from 'vitest'
import type { Feeds, Value } from '../method.ts'
import type { Model } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { printModel } from '../onnx/text.ts'
import { openSession } from '../runtime/session.ts'
import { bytesOf } from '../tensor/dtype.ts'
import { modelsFolder, needsModels, randomFeeds, realModel } from '../testing/real-models.ts'
import { foldShapes, removeUnused } from './fold.ts'

async function compute(model: Model, feeds: Feeds): Promise<Record<string, Value>> {
  const session = await openSession(model, { threads: 1, optimize: 'disabled' })
  try {
    return await session.run(feeds)
  } finally {
    await session.release()
  }
}

async function expectSame(before: Model, after: Model, feeds: Feeds): Promise<void> {
  const [a, b] = [await compute(before, feeds), await compute(after, feeds)]
  for (const [name, value] of Object.entries(a)) {
    expect(b[name].dims, name).toEqual(value.dims)
    expect(Buffer.compare(bytesOf(b[name].data), bytesOf(value.data)), name).toBe(0)
  }
}

const messy = parseModel(`ir 4
opset 13
graph g {
  in x: float32[N, 3, 4]
  in w: float32[12, 2]
  in dead: float32[2]
  out y: float32[N, 2]
  w: float32[12, 2] = {${Array.from({ length: 24 }, (_, i) => i).join(', ')}}
  dead: float32[2] = {1, 2}
  zero: int64[1] = {0}
  minus: int64[1] = {-1}
  one: int64[] = {1}
  s = Shape(x)
  n = Gather(s, zero)
  rest = Slice(s, one1, three)
  size = ReduceProd(rest)
  t = Concat(n, size) {axis: 0}
  i = Identity(x)
  r = Reshape(i, t)
  b = Constant() {value: bool[] {1}}
  unused = Relu(r)
  j = Identity(r)
  h = If(b) {then_branch: graph yes {
    out p: float32
    k = Identity(j)
    lost = Neg(k)
    p = MatMul(k, w)
  }, else_branch: graph no {
    out q: float32
    q = Identity(j)
  }}
  y = Identity(h)
  one1: int64[1] = {1}
  three: int64[1] = {3}
}
`)

test('dead nodes, Identity nodes and inputs with a value go; outputs stay', async () => {
  const slim = removeUnused(messy)
  const feeds = randomFeeds(messy)
  await expectSame(messy, slim, feeds)
  expect(slim.graph.inputs.map((i) => i.name)).toEqual(['x'])
  expect(slim.graph.initializers.has('dead')).toBe(false)
  const text = printModel(slim)
  expect(text).not.toMatch(/unused|lost|i = |j = |k = /)
  expect(text).toMatch(/q = Identity\(r\)/) // an output keeps its name
})

test('shape arithmetic becomes constants where sizes are known', async () => {
  const open = foldShapes(messy)
  expect(open.graph.nodes.filter((n) => ['ReduceProd', 'Slice'].includes(n.op))).toEqual([])
  expect(open.graph.nodes.some((n) => n.op === 'Concat')).toBe(true) // N is open
  const fixed = foldShapes(messy, { inputShapes: { x: [2, 3, 4] } })
  expect(fixed.graph.nodes.map((n) => n.op)).toEqual(['Identity', 'Reshape', 'Constant', 'Identity', 'If', 'Identity'])
  const feeds = randomFeeds(messy)
  await expectSame(messy, open, feeds)
  await expectSame(messy, fixed, feeds)
})

describe.skipIf(!modelsFolder)(`real models${needsModels}`, () => {
  test.each(['ultraface-RFB-320', 'basic_pitch_nmp', 'mnist-8', 'gtcrn_simple', 'super_resolution', 'FastestDet'])(
    '%s',
    async (name) => {
      const m = realModel(name)
      const feeds = randomFeeds(m)
      const folded = removeUnused(foldShapes(m))
      expect(folded.graph.nodes.length).toBeLessThanOrEqual(m.graph.nodes.length)
      expect(folded.irVersion).toBeGreaterThanOrEqual(4) // mnist-8 had 3, which wants every initialiser as an input
      if (name === 'ultraface-RFB-320') expect(folded.graph.nodes.some((n) => n.op === 'Shape')).toBe(false)
      await expectSame(m, folded, feeds)
    },
  )

  test('silero_vad: nested graphs lose their Identity nodes and compute the same', async () => {
    const m = realModel('silero_vad')
    const feeds: Feeds = {
      input: { dtype: 'float32', dims: [1, 512], data: Float32Array.from({ length: 512 }, (_, i) => Math.sin(i / 9)) },
      state: { dtype: 'float32', dims: [2, 1, 128], data: new Float32Array(256) },
      sr: { dtype: 'int64', dims: [], data: BigInt64Array.of(16000n) },
    }
    await expectSame(m, removeUnused(m), feeds)
  })
})
