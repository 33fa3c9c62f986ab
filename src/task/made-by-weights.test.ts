import { describe, expect, it } from 'vitest'
import { type Model, withGraph } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { guessTask } from './guess.ts'
import { openJudge } from './judge.ts'
import { withoutWeights } from './made-by-weights.ts'
import type { OutputKind } from './task.ts'

const rng = random(3)
const drawn = (dims: readonly [number, number]): number[] =>
  Array.from({ length: dims[0] * dims[1] }, () => rng.normal() / Math.sqrt(dims[0]))
const [first, second] = [drawn([8, 32]), drawn([32, 8])]
const off = second.map((w) => w + 0.1 * rng.normal() * Math.sqrt(1 / 32))

/** A network of x [N,8] whose last weights are `last`, and what makes y of both. */
function ending(lines: string, last: readonly number[], more = ''): Model {
  const text = `ir 10
opset 20
opset "own" 1
graph g {
  in x: float32[N, 8]
  out y: float32[N, 8]
  small: float32[] = {0.01}
  one: float32[] = {1}
  ${lines}
}
${more}`
  const read = parseModel(text)
  const initializers = new Map(read.graph.initializers)
  initializers.set('w1', floatTensor('w1', [8, 32], first))
  initializers.set('w2', floatTensor('w2', [32, 8], last))
  return withGraph(read, { initializers })
}

const net = 'h = MatMul(x, w1)\nr = Relu(h)\nf = MatMul(r, w2)\nstep = Mul(f, small)'
const data = Float32Array.from({ length: 256 * 8 }, () => rng.normal())
const inputs = () => [{ feeds: { x: { dtype: 'float32', dims: [256, 8], data } }, fed: 256, count: 256 }]

/** The signal-to-noise ratio of the output, and of what the weights add, where the last weights are off by a tenth. */
async function judged(lines: string, { more = '', kind = 'numbers' as OutputKind } = {}) {
  const [original, other] = [ending(lines, second, more), ending(lines, off, more)]
  const guessed = guessTask(original)
  const axis = kind === 'classes' ? { axis: 1 } : {}
  const task = { outputs: guessed.outputs.map((o) => ({ ...o, kind, ...axis })) }
  const all = await (await openJudge(original, { task, inputs })).compare(other)
  return { whole: all.find((j) => j.added === undefined)?.snrDb, added: all.find((j) => j.added !== undefined)?.snrDb }
}

describe('what weights add to what goes in', () => {
  const forms: Record<string, string> = {
    'a step': `${net}\ny = Add(x, step)`,
    'what is taken away': `${net}\ny = Sub(x, step)`,
    'behind a limit': `${net}\ns = Add(step, x)\nlow: float32[] = {-9}\ny = Clip(s, low)`,
    'behind operators that no list has': `${net}\ns = Add(step, x)\na = Softplus(s)\nb = CumSum(a, axis)\naxis: int64[] = {1}\ny = Softsign(b)`,
    'a factor about one': `${net}\na = Add(step, one)\ny = Mul(x, a)`,
    'a factor that is an exponential': `${net}\na = Exp(step)\ny = Div(x, a)`,
    'a gate that is nearly open': `${net}\na = Sigmoid(step)\ny = Mul(x, a)`,
    'beside what is copied': `${net}\ns = Add(step, x)\ny0, y1 = Split(s) {axis: 1, num_outputs: 2}\nx0, x1 = Split(x) {axis: 1, num_outputs: 2}\ny = Concat(x0, y1) {axis: 1}`,
    'the C of a Gemm': `h = MatMul(x, w1)\nr = Relu(h)\ny = Gemm(r, w2, x) {alpha: 0.01}`,
    'a step of a loop': `n: int64[] = {4}
      go: bool[] = {1}
      y = Loop(n, go, x) {body: graph b {
        in i: int64[] in c: bool[] in s: float32[N, 8]
        out c2: bool[] out s2: float32[N, 8]
        c2 = Identity(c)
        h = MatMul(s, w1)
        r = Relu(h)
        f = MatMul(r, w2)
        d = Mul(f, small)
        s2 = Add(s, d)
      }}`,
    'a branch': `go: bool[] = {1}
      any = ReduceMax(x) {keepdims: 0}
      low: float32[] = {-99}
      is = Greater(any, low)
      y = If(is) {then_branch: graph t { out a: float32[N, 8] h = MatMul(x, w1) r = Relu(h) f = MatMul(r, w2) d = Mul(f, small) a = Add(x, d) },
        else_branch: graph e { out b: float32[N, 8] b = Neg(x) }}`,
  }
  for (const [form, lines] of Object.entries(forms))
    it(`is judged as well: ${form}`, async () => {
      const { whole, added } = await judged(lines)
      expect(whole).toBeGreaterThan(45)
      expect(added).toBeGreaterThan(12)
      expect(added).toBeLessThan(25)
    })

  it('is judged as well: in a local function', async () => {
    const more = `function own::Step(a, u, v, k) -> (b) { opset 20 h = MatMul(a, u) r = Relu(h) f = MatMul(r, v) d = Mul(f, k) b = Add(a, d) }`
    const { whole, added } = await judged('y = own::Step(x, w1, w2, small)', { more })
    expect(whole).toBeGreaterThan(45)
    expect(added).toBeLessThan(25)
  })

  it('is judged as well: scores that a mask takes 1e9 from', async () => {
    const mask = 'zero: float32[] = {0}\nis = Greater(x, zero)\nlost: float32[] = {-1e9}\nm = Where(is, zero, lost)'
    const { whole, added } = await judged(`${net}\n${mask}\ny = Add(f, m)`, { kind: 'classes' })
    expect(whole).toBeGreaterThan(100)
    expect(added).toBeGreaterThan(15)
    expect(added).toBeLessThan(25)
  })

  const straight: Record<string, string> = {
    'a linear part': `${net}\neye: float32[8, 8] = {${Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0)).join(', ')}}\nl = MatMul(x, eye)\ny = Add(l, step)`,
    'layers before and after the sum': `${net.replaceAll('x,', 'l,')}\neye: float32[8, 8] = {${Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0)).join(', ')}}\nl = MatMul(x, eye)\ns = Add(l, step)\nt = MatMul(s, eye)\nlow: float32[] = {-9}\ny = Clip(t, low)`,
    'a gain that the network makes': `${net}\neye: float32[8, 8] = {${Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0)).join(', ')}}\nl = MatMul(x, eye)\ngain = Add(one, step)\nm = Mul(l, gain)\ny = MatMul(m, eye)`,
  }
  for (const [form, lines] of Object.entries(straight))
    it(`is judged as well beside weights that stand straight: ${form}`, async () => {
      const { whole, added } = await judged(lines)
      expect(whole).toBeGreaterThan(45)
      expect(added).toBeGreaterThan(12)
      expect(added).toBeLessThan(25)
    })

  it('takes an activation of its own input for no straight path', async () => {
    const silu = 'h = MatMul(x, w1)\ng = Sigmoid(h)\nr = Mul(h, g)\ny = MatMul(r, w2)'
    expect(withoutWeights(ending(silu, second))).toEqual([])
  })

  it('is not judged apart where it is most of the output, nor where nothing goes round the weights', async () => {
    expect((await judged(`${net}\nlarge: float32[] = {3}\ng = Mul(f, large)\ny = Add(x, g)`)).added).toBeUndefined()
    expect((await judged(`${net}\ny = Add(h2, step)\nh2 = Tanh(f)`)).added).toBeUndefined()
    expect(withoutWeights(ending(`${net}\ny = Tanh(f)`, second))).toEqual([])
  })

  it('takes rounding for no difference', async () => {
    const lines = `${net}\nhuge: float32[] = {1e-9}\nt = Mul(step, huge)\ny = Add(x, t)`
    expect((await judged(lines)).added).toBeUndefined()
  })

  it('leaves out loops that may not end without their weights', () => {
    const lines = `n: int64[] = {9223372036854775807}
      go: bool[] = {1}
      y = Loop(n, go, x) {body: graph b {
        in i: int64[] in c: bool[] in s: float32[N, 8]
        out c2: bool[] out s2: float32[N, 8]
        h = MatMul(s, w1)
        r = Relu(h)
        f = MatMul(r, w2)
        s2 = Add(s, f)
        most = ReduceMax(s2) {keepdims: 0}
        c2 = Less(most, one)
      }}`
    expect(withoutWeights(ending(lines, second))).toEqual([])
  })
})
