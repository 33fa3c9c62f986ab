/** coppice's side of train-step.mts, in a process of its own. Usage: _train-worker.mts NET ENGINE THREADS */
import { createInterface } from 'node:readline'
import { openStateSession } from '../src/runtime/state-session.ts'
import { sizeOf } from '../src/tensor/dtype.ts'
import { random } from '../src/tensor/random.ts'
import { chooseEngine } from '../src/train/choose-engine.ts'
import { sgd } from '../src/train/optimizers.ts'
import { buildStep } from '../src/train/step-graph.ts'
import { createTrainState } from '../src/train/train-state.ts'
import { nets } from './_train-nets.mts'

const [name, engineName, threads] = process.argv.slice(2)
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
const { batch, inputShape, build } = nets[name]
const shape = [batch, ...inputShape]
const model = build()
const { engine, reason } = await chooseEngine(engineName as 'auto')
const step = buildStep(model, { inputShapes: { x: shape }, loss: 'cross-entropy', optimizer: sgd(), engine })
const session = await openStateSession(step.model, { state: step.state, threads: Number(threads) })
const state = createTrainState(model, step, session)
const rng = random(3)
const target = new Float32Array(batch * 10)
for (let i = 0; i < batch; i++) target[i * 10 + (i % 10)] = 1
const x = Float32Array.from({ length: sizeOf(shape) }, () => rng.normal())
let done = 0
const once = async (): Promise<number> => {
  const scalars = Object.entries(sgd().scalars(0.01, done)).map(([key, value]) => [
    step.scalarInput(key),
    { dtype: 'float32', dims: [], data: Float32Array.of(value) },
  ])
  const results = await session.run({
    x: { dtype: 'float32', dims: shape, data: x },
    [step.target.name]: { dtype: 'float32', dims: [batch, 10], data: target },
    ...Object.fromEntries(scalars),
  })
  state.afterStep(results, done++)
  return results[step.lossOutput][0]
}
const parameters = step.parameters.reduce((n, p) => n + sizeOf(p.shape), 0)
say({ engine: engine.id, reason, parameters, nodes: step.model.graph.nodes.length })
for await (const line of createInterface({ input: process.stdin })) {
  const [word, count] = line.split(' ')
  if (word === 'end') break
  const times: number[] = []
  let loss = 0
  for (let i = 0; i < Number(count); i++) {
    const start = performance.now()
    loss = await once()
    times.push(performance.now() - start)
  }
  say({ times, loss, peakBytes: process.resourceUsage().maxRSS * 1024 })
}
await session.release()
