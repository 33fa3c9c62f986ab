/**
 * ADMM feeds z and u, as large as the weights, to every step: what does that cost? Steps of LeNet-5 without ADMM, with it, and
 * with z and u stored in the step's graph, where nothing is handed over, in turn in one run.
 *
 *   npx tsx bench/admm-step.mts [--rounds 15]
 *
 * Writes bench/results/admm-step.json. Medians over rounds of the rounds' median step times; "feeding" is the median of the
 * rounds' ratios fed / stored, less 1.
 */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Feeds } from '../src/method.ts'
import { openStateSession } from '../src/runtime/state-session.ts'
import { floatTensor, sizeOf } from '../src/tensor/dtype.ts'
import { random } from '../src/tensor/random.ts'
import { chooseEngine } from '../src/train/choose-engine.ts'
import { sgd } from '../src/train/optimizers.ts'
import { enterAll } from '../src/train/regime.ts'
import { admm } from '../src/train/regimes/admm.ts'
import { buildStep } from '../src/train/step-graph.ts'
import { createTrainState } from '../src/train/train-state.ts'
import { nets } from './_train-nets.mts'

const threads = 2
const { rounds } = parseArgs({ options: { rounds: { type: 'string', default: '15' } } }).values
const { batch, inputShape, build } = nets.lenet5
const shape = [batch, ...inputShape]
const { engine } = await chooseEngine('auto')

type Variant = 'without' | 'fed' | 'stored'

/** Runs one step per call. */
async function stepper(variant: Variant): Promise<() => Promise<void>> {
  const given = build()
  const regimes = variant === 'without' ? [] : [admm({ sparsity: 0.9, every: 1000 })]
  const { model, members } = await enterAll(given, regimes, { batchSize: batch, seed: 1, threads })
  const step = buildStep(model, { inputShapes: { x: shape }, loss: 'cross-entropy', optimizer: sgd(), engine, members })
  const state = members.flatMap((m) => Object.values(m.state ?? {}))
  const fed = step.stateInputs.map(({ input, shape: dims }, i) => ({ input, dims, values: state[i].values }))
  const { graph } = step.model
  const names = new Set(fed.map((f) => f.input))
  const stored = {
    ...step.model,
    graph: {
      ...graph,
      inputs: graph.inputs.filter((i) => !names.has(i.name)),
      initializers: new Map([
        ...graph.initializers,
        ...fed.map((f) => [f.input, floatTensor(f.input, f.dims, f.values)] as const),
      ]),
    },
  }
  const session = await openStateSession(variant === 'stored' ? stored : step.model, { state: step.state, threads })
  const train = createTrainState(model, step, session, { members })
  const rng = random(3)
  const float32 = (dims: readonly number[], data: Float32Array) =>
    ({ dtype: 'float32', dims: [...dims], data }) as const
  const target = new Float32Array(batch * 10)
  for (let i = 0; i < batch; i++) target[i * 10 + (i % 10)] = 1
  const feeds: Feeds = {
    x: float32(
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => rng.normal()),
    ),
    [step.target.name]: float32([batch, 10], target),
    ...Object.fromEntries(
      Object.entries(sgd().scalars(0.01, 0)).map(([k, v]) => [step.scalarInput(k), float32([], Float32Array.of(v))]),
    ),
    ...(variant === 'fed' ? Object.fromEntries(fed.map((f) => [f.input, float32(f.dims, f.values)])) : {}),
  }
  let done = 0
  return async () => train.afterStep(await session.run(feeds), done++)
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]
const variants = ['without', 'fed', 'stored'] as const
const steps = Object.fromEntries(await Promise.all(variants.map(async (v) => [v, await stepper(v)] as const)))
const times: Record<Variant, number[]> = { without: [], fed: [], stored: [] }
for (let round = -1; round < Number(rounds); round++) {
  for (const variant of variants) {
    const own: number[] = []
    for (let i = 0; i < 40; i++) {
      const start = performance.now()
      await steps[variant]()
      own.push(performance.now() - start)
    }
    if (round >= 0) times[variant].push(median(own))
  }
}
const ratio = (a: Variant, b: Variant): number => median(times[a].map((ms, i) => ms / times[b][i])) - 1
const result = {
  machine: { cpu: cpus()[0].model, cores: cpus().length, threads, node: process.version },
  net: 'lenet5',
  batch,
  engine: engine.id,
  stepMs: Object.fromEntries(variants.map((v) => [v, { median: median(times[v]), all: times[v] }])),
  feeding: ratio('fed', 'stored'),
  admm: ratio('fed', 'without'),
}
console.log(
  JSON.stringify({ ...result, stepMs: Object.fromEntries(variants.map((v) => [v, median(times[v])])) }, null, 2),
)
writeFileSync(
  fileURLToPath(new URL('./results/admm-step.json', import.meta.url)),
  `${JSON.stringify(result, null, 2)}\n`,
)
process.exit(0)
