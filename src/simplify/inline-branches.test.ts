/** An If whose condition is known becomes its branch: the outputs stay, and training goes through. */
import { describe, expect, it } from 'vitest'
import { plainEngine } from '../grad/engine.ts'
import type { Model } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { stepGradients } from '../testing/step-gradients.ts'
import { inlineBranches } from './inline-branches.ts'

const x = { dtype: 'float32', dims: [2, 3], data: Float32Array.of(1, -2, 3, -4, 5, -6) } as const

/** As scripted models have them: a branch for each rank or size, branches within branches, stored tensors inside. */
const model = parseModel(`ir 8
opset 17
graph g {
  in x: float32["N", 3]
  out y: float32["N", 2]
  w: float32[3, 2] = {0.5, 1, -1, 2, 0.25, -0.5}
  two: int64[] = {2}
  one: int64[] = {1}
  dims = Shape(x)
  size = Size(dims)
  isMatrix = Equal(size, two)
  isVector = Equal(size, one)
  h = If(isMatrix) {then_branch: graph a {
    out r: float32
    scale: float32[] = {2}
    s = Mul(x, scale)
    r = If(isVector) {then_branch: graph b { out q: float32 q = Exp(s) }, else_branch: graph c { out q: float32 q = Neg(s) }}
  }, else_branch: graph d { out r: float32 r = Hardmax(x) }}
  y = MatMul(h, w)
}`)

const run = (m: Model) =>
  withSession(
    () => openSession(m),
    async (session) => Array.from((await session.run({ x })).y.data as Float32Array),
  )

describe('an If whose condition is known', () => {
  it('becomes the branch it takes, branches within it too', async () => {
    const conditions = new Map([
      ['isMatrix', true],
      ['isVector', false],
    ])
    const once = inlineBranches(model, (name) => conditions.get(name))
    expect(once.graph.nodes.map((n) => n.op)).not.toContain('If')
    expect(once.graph.nodes.map((n) => n.op)).toContain('Neg')
    expect(await run(once)).toEqual(await run(model))
  })

  it('stays where it is not known, and nothing is copied', () => {
    expect(inlineBranches(model, () => undefined)).toBe(model)
  })

  it('lets a model be trained', async () => {
    const target = ([rows, width]: readonly number[]) => new Float32Array(rows * width)
    const { gradients } = await stepGradients(model, { engine: plainEngine, loss: 'mse', inputs: { x }, target })
    // d/dw of the mean of y² is xᵀ·y / 2·2 for x scaled by -2.
    const y = await run(model)
    const expected = [0, 1, 2].flatMap((k) =>
      [0, 1].map((c) => [0, 1].reduce((sum, n) => sum + (-2 * x.data[n * 3 + k] * y[n * 2 + c]) / 2, 0)),
    )
    gradients.get('w')?.forEach((v, i) => void expect(v).toBeCloseTo(expected[i], 3))
    expect([...gradients.keys()]).toEqual(['w'])
  })
})
