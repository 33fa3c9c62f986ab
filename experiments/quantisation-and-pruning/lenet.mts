/**
 * LeNet-300-100 and LeNet-5 on MNIST, pruned step by step with training between: how few parameters hold the reference's error?
 *
 *   npm run experiment -- lenet --data mnist:DIR [--nets lenet300,lenet5] [--seeds 0,1,2] [--work FOLDER] [--threads 1]
 *
 * A chain: a network is trained, pruned to the first factor in rounds (each takes the same share of the smallest weights of
 * all layers together), trained on under its mask, its dead units removed, then pruned to the next factor, and so on. Images are
 * shifted at random while training; by how much is chosen with LeNet-300-100 on a sixth of the training set, with half the epochs. The
 * chosen chain then runs on the whole training set for each seed, and each of its networks meets the test set once.
 * Writes results/lenet.json and, from it, results/lenet.md. A run that was cut off goes on where it was.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import { splitDataset } from '../../src/data/batches.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import { packModel } from '../../src/formats/pack.ts'
import { weightTensors } from '../../src/graph/weights.ts'
import type { Model } from '../../src/model.ts'
import { checkpointFile } from '../../src/node/checkpoint-file.ts'
import { loadData } from '../../src/node/data.ts'
import { writeFileAtomic } from '../../src/node/files.ts'
import { pruneAndTrain } from '../../src/prune/prune-and-train.ts'
import { removeDead } from '../../src/prune/remove-dead.ts'
import { count } from '../../src/report/format.ts'
import { floats } from '../../src/tensor/dtype.ts'
import { sgd } from '../../src/train/optimizers.ts'
import { cosine } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import type { Progress } from '../../src/train/train-options.ts'
import { validateClasses } from '../../src/train/validate.ts'
import { zoo } from '../../src/zoo/index.ts'
import { flag, readResults, stored, writeResults } from '../_shared.mts'

interface Step {
  readonly factor: number
  readonly rounds: number
  /** After each round but the last. */
  readonly epochs: number
  /** After the last. */
  readonly finalEpochs: number
}

interface Net {
  readonly title: string
  readonly rate: number
  readonly decay: number
  /** Weight decay once pruning has begun. */
  readonly prunedDecay: number
  readonly epochs: number
  readonly steps: readonly Step[]
  /** Deep Compression's slides: error in %, thousands of parameters. */
  readonly paper: { readonly before: readonly [number, number]; readonly after: readonly [number, number] }
}

const nets: Record<string, Net> = {
  lenet300: {
    title: 'LeNet-300-100',
    rate: 0.05,
    decay: 1e-4,
    prunedDecay: 5e-5,
    epochs: 30,
    steps: [
      { factor: 12, rounds: 4, epochs: 2, finalEpochs: 20 },
      { factor: 30, rounds: 4, epochs: 2, finalEpochs: 20 },
    ],
    paper: { before: [1.64, 267], after: [1.59, 22] },
  },
  lenet5: {
    title: 'LeNet-5',
    rate: 0.02,
    decay: 5e-4,
    prunedDecay: 1e-4,
    epochs: 12,
    steps: [
      { factor: 12, rounds: 3, epochs: 1, finalEpochs: 8 },
      { factor: 100, rounds: 6, epochs: 1, finalEpochs: 16 },
    ],
    paper: { before: [0.8, 431], after: [0.77, 36] },
  },
}
/** Pixels that training images are shifted by at most. */
const crops = [0, 1, 2]
const batchSize = 64

interface Size {
  /** Weights and biases that are not zero. */
  readonly parameters: number
  /** Elements of all tensors once dead units are gone. */
  readonly storedElements: number
  readonly packedBytes: number
}

interface Measured extends Size {
  readonly errorPercent: number
}

interface Chain {
  readonly recipe: Omit<Net, 'title' | 'paper'> & { readonly crop: number; readonly batchSize: number }
  readonly dense: Measured
  /** By factor. */
  readonly pruned: Readonly<Record<string, Measured & { readonly factor: number }>>
}

interface Results {
  /** Of the quicker net, by crop: error in % on held-back training images, after training and at each factor. */
  choice: Record<string, readonly number[]>
  /** By net and then by seed, on the test set. */
  runs: Record<string, Record<string, Chain>>
  /** By net: the dense network of the first seed, trained for as many epochs as the whole chain. */
  trainedAsLong: Record<string, Measured & { readonly epochs: number }>
}

const work = flag('work', join(import.meta.dirname, '.coppice', 'lenet'))
const threads = Number(flag('threads', '1'))
const seeds = flag('seeds', '0,1,2').split(',').map(Number)
const chosenNets = flag('nets', Object.keys(nets).join()).split(',')
const out = join(import.meta.dirname, 'results', 'lenet.json')
for (const folder of [work, dirname(out)]) mkdirSync(folder, { recursive: true })

const splits = await loadData(flag('data'), { seed: 0 })
const inputs = requiredInputs(zoo.lenet5.build({ seed: 0 }))
const batcher = batcherFor(inputs, splits.test, guessPreprocess(inputs, splits.test, {}))
const results: Results = { choice: {}, runs: {}, trainedAsLong: {}, ...(readResults(out) as Partial<Results>) }
const write = (): Promise<void> => writeResults(out, results as unknown as Record<string, unknown>)

const lengthsOf = (tensors: Iterable<Float32Array>): number => [...tensors].reduce((n, a) => n + a.length, 0)
const nonzeroOf = (tensors: Iterable<Float32Array>): number =>
  [...tensors].reduce((n, a) => n + a.reduce((m, v) => m + (v === 0 ? 0 : 1), 0), 0)
const parametersOf = (model: Model): Float32Array[] =>
  [...model.graph.initializers.values()].filter((t) => t.dtype === 'float32').map((t) => floats(t) as Float32Array)
const weightsOf = (model: Model): Float32Array[] => weightTensors(model).map((w) => floats(w.tensor) as Float32Array)

async function errorOf(model: Model, data: Dataset): Promise<number> {
  const { accuracy } = await validateClasses(model, data, { batcher, batchSize: 250, threads })
  return Number((100 * (1 - accuracy)).toFixed(2))
}

async function measure(model: Model, data: Dataset): Promise<Measured> {
  const tensors = parametersOf(model)
  return {
    parameters: nonzeroOf(tensors),
    storedElements: lengthsOf(tensors),
    packedBytes: packModel(model).byteLength,
    errorPercent: await errorOf(model, data),
  }
}

interface How {
  readonly seed: number
  readonly crop: number
  /** Of the full number of epochs. */
  readonly length: number
  readonly training: Dataset
  /** Begins the names of files in the work folder. */
  readonly id: string
}

interface Training {
  readonly seed: number
  readonly crop: number
  readonly epochs: number
  readonly weightDecay: number
  /** Names it in what is told. */
  readonly what: string
}

const trainingOf = (name: string, { seed, crop, epochs, weightDecay, what }: Training) => ({
  batcher,
  batchSize,
  seed,
  threads,
  epochs: Math.max(1, Math.round(epochs)),
  learningRate: nets[name].rate,
  optimizer: sgd({ weightDecay }),
  schedule: cosine(),
  ...(crop > 0 ? { augment: { crop } } : {}),
  onProgress: (p: Progress) => tell(`${name} ${what}`, p),
})

/** The trained network, and the pruned one for each factor, dead units removed. */
async function chain(name: string, { seed, crop, length, training, id }: How): Promise<Model[]> {
  const net = nets[name]
  const start = zoo[name].build({ seed })
  const total = lengthsOf(parametersOf(start))
  const file = (what: string): string => join(work, `${name}-${id}-${what}`)
  const options = (what: string, epochs: number) => {
    const weightDecay = what === 'dense' ? net.decay : net.prunedDecay
    return trainingOf(name, { seed, crop, epochs: epochs * length, weightDecay, what: `${id} ${what}` })
  }
  const models = [
    await stored(file('dense.onnx'), async () => {
      const checkpoint = { store: checkpointFile(file('dense.checkpoint')) }
      return (await train(start, training, { ...options('dense', net.epochs), checkpoint })).model
    }),
  ]
  for (const { factor, rounds, epochs, finalEpochs } of net.steps) {
    const before = models[models.length - 1]
    const weights = weightsOf(before)
    const biases = nonzeroOf(parametersOf(before)) - nonzeroOf(weights)
    const made = await stored(file(`${factor}x.onnx`), async () => {
      const what = `${factor}x`
      const pruned = await pruneAndTrain(before, training, {
        sparsity: 1 - (total / factor - biases) / lengthsOf(weights),
        scope: 'global',
        schedule: 'iterative',
        rounds,
        training: { ...options(what, epochs), learningRate: net.rate / 2 },
        finalTraining: options(what, finalEpochs),
        context: { seed },
        checkpoint: checkpointFile(file(`${factor}x.checkpoint`)),
      })
      return removeDead(pruned)
    })
    models.push(made)
  }
  return models
}

function tell(what: string, { epochs, finished, samplesPerSecond }: Progress): void {
  if (!finished) return
  const at = `epoch ${finished.epoch + 1} of ${epochs}, loss ${finished.loss.toFixed(4)}`
  console.error(`${what}: ${at}, ${Math.round(samplesPerSecond)} images/s`)
}

/** The crop whose chain errs least on average on a sixth of the training set; the quicker net chooses for both. */
async function chooseCrop(): Promise<number> {
  const name = 'lenet300'
  const [training, heldBack] = splitDataset(splits.train, 1 / 6, 0)
  const errors = results.choice
  for (const crop of crops) {
    if (errors[crop]) continue
    const models = await chain(name, { seed: 0, crop, length: 0.5, training, id: `choice-${crop}` })
    errors[crop] = await Promise.all(models.map((m) => errorOf(m, heldBack)))
    await write()
  }
  const mean = (crop: number): number => errors[crop].slice(1).reduce((a, b) => a + b, 0)
  return crops.reduce((best, crop) => (mean(crop) < mean(best) ? crop : best))
}

async function runSeed(name: string, seed: number, crop: number): Promise<void> {
  results.runs[name] ??= {}
  if (results.runs[name][seed]) return
  const models = await chain(name, { seed, crop, length: 1, training: splits.train, id: `seed-${seed}` })
  const [dense, ...pruned] = await Promise.all(models.map((m) => measure(m, splits.test)))
  const byFactor = nets[name].steps.map(({ factor }, i) => [
    factor,
    { ...pruned[i], factor: Number((dense.parameters / pruned[i].parameters).toFixed(2)) },
  ])
  const { title: _, paper: __, ...recipe } = nets[name]
  results.runs[name][seed] = { recipe: { ...recipe, crop, batchSize }, dense, pruned: Object.fromEntries(byFactor) }
  await write()
}

/** What all that training does to the network when nothing is pruned. */
async function trainAsLong(name: string, crop: number): Promise<void> {
  if (results.trainedAsLong[name]) return
  const { epochs, steps, decay: weightDecay } = nets[name]
  const [seed] = seeds
  const all = steps.reduce((n, s) => n + (s.rounds - 1) * s.epochs + s.finalEpochs, epochs)
  const model = await stored(join(work, `${name}-as-long.onnx`), async () => {
    const trained = await train(zoo[name].build({ seed }), splits.train, {
      ...trainingOf(name, { seed, crop, epochs: all, weightDecay, what: 'dense, as long' }),
      checkpoint: { store: checkpointFile(join(work, `${name}-as-long.checkpoint`)) },
    })
    return trained.model
  })
  results.trainedAsLong[name] = { ...(await measure(model, splits.test)), epochs: all }
  await write()
}

function writeTable(): Promise<void> {
  const shipped = JSON.parse(
    readFileSync(join(import.meta.dirname, '../../bench/results/train-nets.json'), 'utf8'),
  ) as { results: Record<string, { errors: Record<string, number> }> }
  const lines = [
    '| network | how | error, % | parameters not 0 | fewer | elements stored | packed bytes |',
    '| --- | --- | ---: | ---: | ---: | ---: | ---: |',
  ]
  const row = (...cells: readonly string[]): void => void lines.push(`| ${cells.join(' | ')} |`)
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length
  const errors = (values: readonly number[]): string =>
    values.length > 1
      ? `${mean(values).toFixed(2)} (${Math.min(...values).toFixed(2)}-${Math.max(...values).toFixed(2)}, ${values.length} seeds)`
      : values[0].toFixed(2)
  const sizes = (of: readonly Size[], total: number): string[] => {
    const parameters = mean(of.map((m) => m.parameters))
    return [
      count(Math.round(parameters)),
      `${(total / parameters).toFixed(1)} x`,
      count(Math.round(mean(of.map((m) => m.storedElements)))),
      count(Math.round(mean(of.map((m) => m.packedBytes)))),
    ]
  }
  for (const [name, runs] of Object.entries(results.runs)) {
    const { title, paper, steps } = nets[name]
    const chains = Object.values(runs)
    if (chains.length === 0) continue
    const total = chains[0].dense.parameters
    const { crop } = chains[0].recipe
    const shifts = crop > 0 ? `shifts by up to ${crop}` : 'no shifts'
    const [before, after] = [paper.before, paper.after]
    row(title, 'Deep Compression (slides), reference', before[0].toFixed(2), `${before[1]}K`, '1 x', '', '')
    row(title, 'Deep Compression (slides), pruned', after[0].toFixed(2), `${after[1]}K`, '12 x', '', '')
    row(
      title,
      'reference without shifts (bench/train-nets)',
      errors(Object.values(shipped.results[name].errors)),
      count(total),
      '1 x',
      '',
      '',
    )
    row(
      title,
      `trained with ${shifts}, before pruning`,
      errors(chains.map((c) => c.dense.errorPercent)),
      ...sizes(
        chains.map((c) => c.dense),
        total,
      ),
    )
    const long = results.trainedAsLong[name]
    if (long)
      row(
        title,
        `trained with ${shifts} for all ${long.epochs} epochs, not pruned`,
        errors([long.errorPercent]),
        ...sizes([long], total),
      )
    for (const { factor } of steps) {
      const pruned = chains.map((c) => c.pruned[factor])
      row(title, `pruned, aim ${factor} x`, errors(pruned.map((m) => m.errorPercent)), ...sizes(pruned, total))
    }
  }
  const text = `# LeNets on MNIST, pruned

Error on the 10,000 test images, each network measured once; mean and range over seeds. The shift of training images
was chosen with LeNet-300-100 on held-back training images (lenet.json, choice).

${lines.join('\n')}
`
  return writeFileAtomic(out.replace(/json$/, 'md'), new TextEncoder().encode(text))
}

const crop = await chooseCrop()
for (const name of chosenNets) {
  for (const seed of seeds) {
    await runSeed(name, seed, crop)
    await writeTable()
  }
  await trainAsLong(name, crop)
  await writeTable()
}
