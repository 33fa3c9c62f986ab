/** Oracle: ONNX Runtime runs sparse initialisers as they are. */
import { describe, expect, test } from 'vitest'
import type { Value } from '../method.ts'
import type { Model } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { readModel } from '../onnx/read.ts'
import { printModel } from '../onnx/text.ts'
import { writeModel } from '../onnx/write.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { randomFeeds } from '../testing/real-models.ts'
import { densified, densify } from './densify.ts'

const model = (body: string): Model =>
  parseModel(`ir 8\nopset 17\ngraph g {\n in x: float32[2, 3]\n out y: float32\n ${body}\n}`)

const run = (m: Model): Promise<Record<string, Value>> =>
  withSession(
    () => openSession(m, { threads: 1 }),
    (session) => session.run(randomFeeds(m)),
  )

const flat = 'w: sparse [3, 4] int64[3] {1, 6, 11} float32[3] {0.5, -2, 3}\n y = MatMul(x, w)'

describe('sparse tensors become dense', () => {
  test.each([
    ['places in row-major order', flat],
    [
      'an index for each dimension',
      'w: sparse [3, 4] int64[3, 2] {0, 1, 1, 2, 2, 3} float32[3] {0.5, -2, 3}\n y = MatMul(x, w)',
    ],
    [
      'a constant',
      'w = Constant() {sparse_value: sparse [3, 4] int64[2] {1, 6} float32[2] {0.5, -2}}\n y = MatMul(x, w)',
    ],
    [
      'in a nested graph',
      `b: bool[] = {1}
       y = If(b) {then_branch: graph t {
         out p: float32
         w = Constant() {sparse_value: sparse [3, 4] int64[1] {5} float32[1] {2}}
         p = MatMul(x, w)
       }, else_branch: graph e {
         out q: float32
         q = Relu(x)
       }}`,
    ],
  ])('%s', async (_, body) => {
    const sparse = readModel(writeModel(model(body)))
    const dense = await densify(sparse)
    expect(printModel(dense)).not.toContain('sparse')
    expect((await run(dense)).y).toEqual((await run(sparse)).y)
    const [before, after] = [sparse, dense].map((m) => inferShapes(m))
    expect(before).toMatchObject({ problems: [], unsupported: [] })
    expect(before.values.get('y')).toEqual(after.values.get('y'))
  })

  test('a model without any is returned as it is', () => {
    const m = model('y = Relu(x)')
    expect(densified(m)).toBe(m)
  })

  test.each([
    ['int64[3] {1, 6, 12}', /value 2 lies outside its shape \[3,4\]/],
    ['int64[3] {-1, 6, 11}', /value 0 lies outside/],
    ['int64[3, 2] {0, 1, 1, 2, 2, 4}', /value 2 lies outside/],
    ['int64[2] {1, 6}', /indices int64\[2\]; expected int64\[3\] or \[3,2\]/],
    ['int32[3] {1, 6, 11}', /indices int32\[3\]; expected int64/],
  ])('indices %s are refused', (indices, sentence) => {
    expect(() => densified(model(flat.replace('int64[3] {1, 6, 11}', indices)))).toThrow(sentence)
  })

  test('a shape far too large is refused before memory is asked for', () => {
    const huge = model('w: sparse [1000000, 1000000] int64[1] {5} float32[1] {2}\n y = MatMul(x, w)')
    expect(() => densified(huge)).toThrow('4000000000000 bytes when dense; expected at most 2147483647')
  })
})
