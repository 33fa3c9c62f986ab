/**
 * The five curves of Learning both Weights and Connections (Han et al. 2015, arXiv:1506.02626, figure 5): accuracy lost over the share
 * of weights that are zeroed by magnitude, learnt under an L1 or an L2 penalty, with and without retraining, and in rounds. The paper
 * has AlexNet on ImageNet; this is LeNet-300-100 on MNIST.
 *
 *   npm run experiment -- weights-and-connections --data mnist:DIR [--seeds 0,1,2] [--work FOLDER]
 *
 * Per seed one start learns for eight epochs under each penalty. Of that, without retraining, weights are zeroed and it is measured;
 * with retraining it learns for three epochs more, under the same penalty, zeros held. In rounds, each share starts from the network
 * of the share before, retrained. Each layer gives the same share. A loss is against the accuracy under the same penalty before.
 * Writes results/run.json, .md and .svg; a run that was cut off goes on.
 */
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import { weightTensors } from '../../src/graph/weights.ts'
import type { Model } from '../../src/model.ts'
import { loadData } from '../../src/node/data.ts'
import { writeFileAtomic } from '../../src/node/files.ts'
import { magnitude } from '../../src/prune/magnitude.ts'
import { keepZeros } from '../../src/train/regimes/keep-zeros.ts'
import { l1, l2 } from '../../src/train/regimes/penalty.ts'
import { cosine } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { validateClasses } from '../../src/train/validate.ts'
import { zoo } from '../../src/zoo/index.ts'
import { lineChart } from '../_plot.mts'
import { flag, meanAndSpread, readResults, stored, writeResults } from '../_shared.mts'

const penalties = { L1: l1, L2: l2 } as const
type Penalty = keyof typeof penalties
/** Of 1e-6 to 1e-4 (L1) and 1e-5 to 1e-3 (L2) the strongest that cost nothing on a tenth of the training images, held back for that. */
const strengths: Readonly<Record<Penalty, number>> = { L1: 1e-5, L2: 1e-4 }
const shares = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.94, 0.97, 0.99]
const epochs = { first: 8, again: 3 } as const
const rates = { first: 0.1, again: 0.02 } as const

interface Curve {
  readonly label: string
  readonly penalty: Penalty
  readonly retrained: boolean
  readonly rounds: boolean
}
const curves: readonly Curve[] = [
  { label: 'L2, without retraining', penalty: 'L2', retrained: false, rounds: false },
  { label: 'L1, without retraining', penalty: 'L1', retrained: false, rounds: false },
  { label: 'L1, with retraining', penalty: 'L1', retrained: true, rounds: false },
  { label: 'L2, with retraining', penalty: 'L2', retrained: true, rounds: false },
  { label: 'L2, in rounds', penalty: 'L2', retrained: true, rounds: true },
]

interface Results {
  /** Test accuracy in %, by penalty and seed, before anything is zeroed. */
  before: Record<string, Record<string, number>>
  /** Test accuracy in %, by curve, share and seed. */
  accuracy: Record<string, Record<string, Record<string, number>>>
}

const work = flag('work', '.coppice/experiments/weights-and-connections')
const out = join(import.meta.dirname, 'results', 'run.json')
for (const folder of [work, dirname(out)]) mkdirSync(folder, { recursive: true })
const results: Results = { before: {}, accuracy: {}, ...(readResults(out) as Partial<Results>) }
const seeds = flag('seeds', '0,1,2').split(',').map(Number)
const data = await loadData(flag('data'), { seed: 0 })
const startOf = (seed: number): Model => zoo.lenet300.build({ seed })
const inputs = requiredInputs(startOf(0))
const batcher = batcherFor(inputs, data.test, guessPreprocess(inputs, data.test, {}))

async function learn(model: Model, penalty: Penalty, { seed, stage }: { seed: number; stage: keyof typeof epochs }) {
  const names = weightTensors(model).map(({ name }) => name)
  const trained = await train(model, data.train, {
    ...{
      batcher,
      epochs: epochs[stage],
      batchSize: 64,
      learningRate: rates[stage],
      schedule: cosine(),
      seed,
      threads: 1,
    },
    regimes: [penalties[penalty](strengths[penalty], names), keepZeros()],
  })
  return trained.model
}

async function measure(model: Model): Promise<number> {
  const { accuracy } = await validateClasses(model, data.test, { batcher, batchSize: 250, threads: 1 })
  return Number((100 * accuracy).toFixed(2))
}

/** A network's weights with that share of each layer zeroed. */
function pruned(model: Model, share: number): Promise<Model> {
  return Promise.resolve(magnitude(model, { sparsity: share, scope: 'layer' }, { seed: 0 }))
}

async function runCurve({ label, penalty, retrained, rounds }: Curve, seed: number): Promise<void> {
  let from = await stored(join(work, `${penalty}-${seed}.onnx`), () =>
    learn(startOf(seed), penalty, { seed, stage: 'first' }),
  )
  results.before[penalty] ??= {}
  results.before[penalty][seed] ??= await measure(from)
  results.accuracy[label] ??= {}
  for (const share of shares) {
    results.accuracy[label][share] ??= {}
    const row = results.accuracy[label][share]
    if (row[seed] !== undefined && !rounds) continue
    const less = await pruned(from, share)
    const file = join(work, `${label.replaceAll(/[ ,]+/g, '-')}-${share}-${seed}.onnx`)
    const made = retrained ? await stored(file, () => learn(less, penalty, { seed, stage: 'again' })) : less
    if (rounds) from = made
    row[seed] ??= await measure(made)
    console.error(`${label}, ${share}, seed ${seed}: ${row[seed]} %`)
    await writeResults(out, results as unknown as Record<string, unknown>)
  }
}

/** Points lost against the same seed before, of a curve at a share. */
function lost({ label, penalty }: Curve, share: number): number[] {
  return Object.entries(results.accuracy[label]?.[share] ?? {}).map(
    ([seed, accuracy]) => results.before[penalty][seed] - accuracy,
  )
}

async function writeFigures(): Promise<void> {
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length
  const drawn = curves.map((curve) => ({
    label: curve.label,
    // What lost more would flatten all else.
    points: shares
      .map((share) => [100 * share, -mean(lost(curve, share))] as const)
      .filter(([, change]) => change >= -5),
  }))
  const title = 'LeNet-300-100 on MNIST: accuracy over weights that are zeroed'
  const chart = lineChart(drawn, { title, x: 'weights zeroed, %', y: 'change of test accuracy, points' })
  const rows = shares.map((share) => [
    `${(100 * share).toFixed(0)} %`,
    ...curves.map((curve) => meanAndSpread(lost(curve, share))),
  ])
  const lines = [['weights zeroed', ...curves.map((c) => c.label)], ['---:', ...curves.map(() => '---:')], ...rows]
  const before = Object.entries(results.before).map(
    ([penalty, bySeed]) => `${meanAndSpread(Object.values(bySeed))} % under ${penalty}`,
  )
  const text = `# Weights and connections

Made by \`npm run experiment -- weights-and-connections --data mnist:DIR\`. LeNet-300-100 on MNIST, all 10,000 test images. Points of test
accuracy that are lost, mean and standard deviation over ${seeds.length} seeds; before: ${before.join(', ')}.

${lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}

![accuracy over weights that are zeroed](run.svg)
`
  const encoded = (s: string): Uint8Array => new TextEncoder().encode(s)
  await writeFileAtomic(out.replace(/json$/, 'svg'), encoded(chart))
  await writeFileAtomic(out.replace(/json$/, 'md'), encoded(text))
}

for (const seed of seeds) for (const curve of curves) await runCurve(curve, seed)
await writeFigures()
