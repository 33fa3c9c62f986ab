/** State that takes over another vector's buffer is the state of one that has buffers of its own. */
import { expect, it } from 'vitest'
import { type Engine, plainEngine } from '../grad/engine.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { mobileNet } from '../testing/small-nets.ts'
import { chooseEngine } from '../train/choose-engine.ts'
import { adam, type Optimizer, sgd } from '../train/optimizers.ts'
import { buildStep } from '../train/step-graph.ts'
import { openStateSession } from './state-session.ts'

const input = [18, 1, 28, 28]

/** Every state vector after each of four steps. */
async function states(optimizer: Optimizer, engine: Engine, shares: boolean): Promise<Float32Array[]> {
  const net = mobileNet(1)
  const name = net.graph.inputs[0].name
  const step = buildStep(net, { inputShapes: { [name]: input }, loss: 'cross-entropy', optimizer, engine, clipNorm: 1 })
  expect(step.state.some((s) => s.replaces)).toBe(optimizer.slots.length > 0)
  const state = shares ? step.state : step.state.map(({ replaces, ...s }) => s)
  const session = await openStateSession(step.model, { state, threads: 2 })
  for (const { input: at, slot, parts } of state) {
    for (const { parameter, offset } of slot === 'weight' ? parts : [])
      session.state(at).set(parameter.pack(floats(step.weights.get(parameter.name)!)), offset)
  }
  const rng = random(3)
  const seen: Float32Array[] = []
  for (let i = 0; i < 4; i++) {
    const scalars = Object.entries(optimizer.scalars(0.05, i)).map(([key, value]) => [
      step.scalarInput(key),
      { dtype: 'float32', dims: [], data: Float32Array.of(value) },
    ])
    const shape = step.target.shape as number[]
    await session.run({
      [name]: { dtype: 'float32', dims: input, data: Float32Array.from({ length: sizeOf(input) }, () => rng.next()) },
      [step.target.name]: { dtype: 'float32', dims: shape, data: new Float32Array(sizeOf(shape)).fill(0.1) },
      ...Object.fromEntries(scalars),
    })
    for (const s of state) seen.push(session.state(s.input).slice())
  }
  await session.release()
  return seen
}

it.each([
  ['SGD', sgd({ weightDecay: 0.01 })],
  ['SGD without momentum', sgd({ momentum: 0 })],
  ['Nesterov', sgd({ nesterov: true, weightDecay: 0.01 })],
  ['Adam', adam({ weightDecay: 0.01 })],
] as const)('%s', async (_, optimizer) => {
  const { engine } = await chooseEngine()
  for (const each of [plainEngine, engine]) {
    const own = await states(optimizer, each, false)
    expect(await states(optimizer, each, true)).toEqual(own)
    // The first vector after the first and the last step.
    expect(own[0]).not.toEqual(own[0.75 * own.length])
  }
})
