/** Large vectors, which are updated by rows, get what the optimisers' formulas give. */
import { describe, expect, it } from 'vitest'
import { plainEngine } from '../grad/engine.ts'
import { model, node, valueInfo } from '../graph/build.ts'
import { openStateSession } from '../runtime/state-session.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { chooseEngine } from './choose-engine.ts'
import { rowsOf } from './elementwise-rows.ts'
import { adam, type Optimizer, sgd } from './optimizers.ts'
import { enterAll } from './regime.ts'
import { keepZeros } from './regimes/keep-zeros.ts'
import { buildStep } from './step-graph.ts'

describe('rows', () => {
  it('hold the whole vector, none larger than a few of them that fit a cache', () => {
    const rng = random(1)
    for (let i = 0; i < 200; i++) {
      const size = Math.floor(2 ** (16 + 11 * rng.next()))
      const rows = rowsOf(size)
      if (rows) expect([rows[0] * rows[1], rows[1] <= 1 << 17]).toEqual([size, true])
      else if (size >= 1 << 20) for (let n = 9; n <= 32; n++) expect(size % n === 0 && size / n <= 1 << 17).toBe(false)
    }
    expect(rowsOf(4096 * 4096)).toEqual([128, 1 << 17])
    expect(rowsOf(1_048_583)).toBeUndefined() // a prime
    expect(rowsOf(1 << 19)).toBeUndefined()
  })
})

const [inputs, outputs, batch, rate] = [1024, 1100, 2, 0.1]
/** Not so small that the rounding of a gradient near zero decides a weight's whole move. */
const epsilon = 1e-3
const size = inputs * outputs

/** y = W·x for a W with zeros. */
function linear(w: Float32Array) {
  return model({
    nodes: [node('Gemm', ['x', 'w'], ['y'], { transB: 1 })],
    initializers: new Map([['w', floatTensor('w', [outputs, inputs], w)]]),
    inputs: [valueInfo('x', 'float32', [batch, inputs])],
    outputs: [valueInfo('y', 'float32', [batch, outputs])],
  })
}

/** The formulas of `optimizers.ts` for one weight, in float64. */
const formulas = {
  sgd(state: number[], w: number, gradient: number): number {
    state[0] = 0.9 * state[0] + gradient + 0.01 * w
    return w - rate * state[0]
  },
  adam(state: number[], w: number, gradient: number, step: number): number {
    state[0] = 0.9 * state[0] + 0.1 * gradient
    state[1] = 0.999 * state[1] + 0.001 * gradient * gradient
    const [mean, square] = [state[0] / (1 - 0.9 ** (step + 1)), state[1] / (1 - 0.999 ** (step + 1))]
    return w * (1 - rate * 0.01) - (rate * mean) / (Math.sqrt(square) + epsilon)
  },
}

describe.each([
  ['sgd', sgd({ weightDecay: 0.01 })],
  ['adam', adam({ weightDecay: 0.01, epsilon })],
] as const)('%s', (name, optimizer: Optimizer) => {
  it('moves a million weights under a mask as its formula does, on either engine', async () => {
    const rng = random(7)
    const start = Float32Array.from({ length: size }, () => (rng.next() < 0.3 ? 0 : rng.normal()))
    const { engine } = await chooseEngine()
    for (const each of [plainEngine, engine]) {
      const step = buildStep(linear(start), {
        inputShapes: { x: [batch, inputs] },
        loss: 'mse',
        optimizer,
        engine: each,
        members: (await enterAll(linear(start), [keepZeros()], { batchSize: batch, seed: 0 })).members,
      })
      expect(step.state.map((s) => s.shape)).toEqual(step.state.map(() => [10, size / 10]))
      expect(step.state[0].replaces).toBeDefined()
      const session = await openStateSession(step.model, { state: step.state, threads: 2 })
      session.state(step.state[0].input).set(start)
      const expected = Float64Array.from(start)
      const states = Array.from({ length: size }, () => [0, 0])
      for (let i = 0; i < 2; i++) {
        const x = Float32Array.from({ length: batch * inputs }, () => rng.normal())
        const target = Float32Array.from({ length: batch * outputs }, () => rng.normal())
        const scalars = Object.entries(optimizer.scalars(rate, i)).map(([key, value]) => [
          step.scalarInput(key),
          { dtype: 'float32', dims: [], data: Float32Array.of(value) },
        ])
        await session.run({
          x: { dtype: 'float32', dims: [batch, inputs], data: x },
          [step.target.name]: { dtype: 'float32', dims: [batch, outputs], data: target },
          ...Object.fromEntries(scalars),
        })
        for (let o = 0; o < outputs; o++) {
          const errors = Array.from({ length: batch }, (_, b) => {
            let y = 0
            for (let k = 0; k < inputs; k++) y += expected[o * inputs + k] * x[b * inputs + k]
            return (2 * (y - target[b * outputs + o])) / (batch * outputs)
          })
          for (let k = 0; k < inputs; k++) {
            const at = o * inputs + k
            const gradient = errors.reduce((sum, e, b) => sum + e * x[b * inputs + k], 0)
            const moved = formulas[name](states[at], expected[at], gradient, i)
            expected[at] = start[at] === 0 ? 0 : moved
          }
        }
        const found = session.state(step.state[0].input)
        let worst = 0
        for (let k = 0; k < size; k++) worst = Math.max(worst, Math.abs(found[k] - expected[k]))
        expect(worst).toBeLessThan(1e-4)
      }
      await session.release()
    }
  })
})
