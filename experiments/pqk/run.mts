/**
 * PQK (Kim, Chang & Kwak 2021, arXiv:2106.14681): does it help that what was pruned teaches what is left? A keyword-spotting network
 * and LeNet-5 of half the width on Fashion-MNIST, at equal sparsity, bits and epochs, beside three controls.
 *
 *   COPPICE_MODELS=… COPPICE_DATA=… npm run experiment -- pqk [--nets keywords,lenet5] [--seeds 0,1,2] [--work FOLDER]
 *
 * Every way begins with the same trained float network and trains for 2n epochs. `pqk`: n epochs of each phase. `no teacher`: the same
 * with alpha 0. `ordinary teacher`: the same, where the float network teaches for all epochs. `prune, then quantise`: n rounds of
 * gradual pruning by magnitude, of an epoch each, then n epochs of `train-quantised`. On LeNet-5 the choices were made
 * beforehand, and the test set is met once by each network; `alpha` and the temperature of `pqk` were compared before on the keyword
 * maps that are tested on, so that its rows there flatter it a little. Writes results/run.json and .md; a run that was cut off goes on.
 *
 * The keyword set at hand has 1,000 maps, of which half is trained on, from a network that learnt Speech Commands: this is no
 * repetition of the paper's table. `--data speech-commands` of the command line loads the whole set.
 */
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { loadCase } from '../../bench/_cases.mts'
import { type BoundBatcher, batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import { drawSamples } from '../../src/data/handle.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import { packModel } from '../../src/formats/pack.ts'
import type { Context } from '../../src/method.ts'
import type { Model } from '../../src/model.ts'
import { loadData } from '../../src/node/data.ts'
import { writeFileAtomic } from '../../src/node/files.ts'
import { checkOptions } from '../../src/options.ts'
import { count } from '../../src/report/format.ts'
import { prepareQuantised } from '../../src/retrain/_quantised.ts'
import { trainingOf } from '../../src/retrain/_training.ts'
import { finetune } from '../../src/retrain/finetune.ts'
import { pqk } from '../../src/retrain/pqk.ts'
import { pruneInRounds } from '../../src/retrain/prune-in-rounds.ts'
import { trainQuantised } from '../../src/retrain/train-quantised.ts'
import { floats, integers } from '../../src/tensor/dtype.ts'
import { distill } from '../../src/train/regimes/distill.ts'
import { softMask } from '../../src/train/regimes/soft-mask.ts'
import { train } from '../../src/train/train.ts'
import { validateClasses } from '../../src/train/validate.ts'
import { zoo } from '../../src/zoo/index.ts'
import { flag, meanAndSpread, readResults, stored, trainingContext, writeResults } from '../_shared.mts'

interface Net {
  readonly title: string
  readonly train: Dataset
  readonly test: Dataset
  readonly batcher: BoundBatcher
  /** n. */
  readonly epochs: number
  readonly learning: { readonly batch: number; readonly rate: number; readonly crop?: number }
  readonly few: { readonly sparsity: number; readonly weightBits: number; readonly activationBits: number }
  float(seed: number): Promise<Model>
}

interface Measured {
  readonly accuracyPercent: number
  /** Of the weights of layers, on integers or not. */
  readonly zerosPercent: number
  readonly packedBytes: number
}

const work = flag('work', '.coppice/experiments/pqk')
const out = join(import.meta.dirname, 'results', 'run.json')
for (const folder of [work, dirname(out)]) mkdirSync(folder, { recursive: true })
interface Results {
  /** By net. */
  readonly about: Record<string, Pick<Net, 'title' | 'few'>>
  /** By net, way and seed. */
  readonly runs: Record<string, Record<string, Record<string, Measured>>>
}
const results = { about: {}, runs: {}, ...readResults(out) } as Results

async function keywords(): Promise<Net> {
  const { model, train: set, test, preprocess } = await loadCase('mlperf-tiny-kws-dscnn')
  return {
    title: 'DS-CNN, keywords',
    ...{ train: set, test, batcher: batcherFor(requiredInputs(model), set, preprocess), epochs: 5 },
    learning: { batch: 50, rate: 0.002 },
    few: { sparsity: 0.7, weightBits: 4, activationBits: 4 },
    float: async () => model,
  }
}

async function lenet5(): Promise<Net> {
  const start = (seed: number): Model => zoo.lenet5.build({ seed, width: 0.5 })
  const splits = await loadData(`fashion-mnist:${join(process.env.COPPICE_DATA ?? '', 'fashion-mnist')}`, { seed: 0 })
  const inputs = requiredInputs(start(0))
  const batcher = batcherFor(inputs, splits.test, guessPreprocess(inputs, splits.test, {}))
  const set = drawSamples(splits.train, 6000, 0)
  const net: Net = {
    title: 'LeNet-5 of half the width, Fashion-MNIST',
    ...{ train: set, test: splits.test, batcher, epochs: 4 },
    learning: { batch: 64, rate: 0.02, crop: 1 },
    few: { sparsity: 0.95, weightBits: 2, activationBits: 4 },
    float: (seed) =>
      stored(join(work, `lenet5-float-${seed}.onnx`), () =>
        finetune(
          start(seed),
          { ...net.learning, epochs: 6 },
          trainingContext(net, { seed, what: `lenet5-float-${seed}`, folder: work }),
        ),
      ),
  }
  return net
}

type Way = (net: Net, float: Model, context: Context) => Promise<Model>

const ways: Readonly<Record<string, Way>> = {
  pqk: ({ learning, few, epochs }, float, context) => pqk(float, { ...learning, ...few, epochs }, context),
  'no teacher': ({ learning, few, epochs }, float, context) =>
    pqk(float, { ...learning, ...few, epochs, alpha: 0 }, context),
  'ordinary teacher': async ({ learning, few, epochs }, float, context) => {
    const settings = checkOptions('pqk', pqk.options, { ...learning, ...few, epochs })
    const { data, context: inside, options } = await trainingOf('pqk', settings, context)
    const { model, quantising } = await prepareQuantised('pqk', float, { settings, context: inside })
    const stepsPerEpoch = Math.floor(data.length / options.batchSize)
    const { sparsity, rise, updates } = settings
    const trained = await train(model, data, {
      ...{ ...options, epochs: 2 * epochs, frozenStatistics: epochs },
      regimes: [
        distill({ teacher: float, alpha: 0.5, temperature: 2 }),
        quantising,
        softMask({ sparsity, stepsPerEpoch, epochs, rise, updates }),
      ],
    })
    return trained.model
  },
  'prune, then quantise': async (
    { learning, few: { sparsity, ...bits }, epochs },
    float,
    { checkpoint: _, ...context },
  ) => {
    const options = { ...learning, sparsity, pruning: 'gradual', rounds: epochs, epochs: 1 } as const
    const pruned = await pruneInRounds(float, options, context)
    return trainQuantised(pruned, { ...learning, ...bits, epochs }, context)
  },
}

function zerosPercent(model: Model): number {
  const all = [...model.graph.initializers.values()].filter(
    ({ dims, dtype }) => dims.length > 1 && (dtype === 'int8' || dtype === 'float32'),
  )
  const values = all.flatMap((t) => Array.from(t.dtype === 'int8' ? (integers(t) as ArrayLike<number>) : floats(t)))
  return Number(((100 * values.filter((v) => v === 0).length) / values.length).toFixed(1))
}

async function measure(model: Model, { test, batcher }: Net): Promise<Measured> {
  const { accuracy } = await validateClasses(model, test, { batcher, batchSize: 250, threads: 1 })
  return {
    accuracyPercent: Number((100 * accuracy).toFixed(2)),
    zerosPercent: zerosPercent(model),
    packedBytes: packModel(model).byteLength,
  }
}

function writeTable(): Promise<void> {
  const rows = Object.entries(results.about).flatMap(([name, { title, few }]) =>
    Object.entries(results.runs[name] ?? {}).map(([way, bySeed]) => {
      const all = Object.values(bySeed)
      const spread = (of: (m: Measured) => number, digits: number): string => meanAndSpread(all.map(of), digits)
      const bits = way === 'float' ? '' : `${few.weightBits} / ${few.activationBits}`
      const bytes = count(Math.round(all.reduce((n, m) => n + m.packedBytes, 0) / all.length))
      return [
        title,
        way,
        bits,
        spread((m) => m.accuracyPercent, 2),
        spread((m) => m.zerosPercent, 1),
        bytes,
        all.length,
      ]
    }),
  )
  const head = [
    'network',
    'way',
    'bits of weights / activations',
    'test accuracy, %',
    'zeros, %',
    'packed bytes',
    'seeds',
  ]
  const lines = [head, head.map((_, i) => (i < 2 ? '---' : '---:')), ...rows]
  const text = `# PQK beside its controls

Made by \`npm run experiment -- pqk\`. Mean and standard deviation over seeds. The first and the last layer have 8 bits. Keywords: 500 maps
are trained on and 500 tested, from a network that learnt Speech Commands (the float row); the paper trains on the whole set.
Fashion-MNIST: 6,000 training images, all 10,000 test images.

${lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}
`
  return writeFileAtomic(out.replace(/json$/, 'md'), new TextEncoder().encode(text))
}

const makers: Readonly<Record<string, () => Promise<Net>>> = { keywords, lenet5 }
const nets = new Map<string, Net>()
for (const name of flag('nets', Object.keys(makers).join()).split(',')) nets.set(name, await makers[name]())
for (const seed of flag('seeds', '0,1,2').split(',').map(Number)) {
  for (const [name, net] of nets) {
    results.about[name] = { title: net.title, few: net.few }
    results.runs[name] ??= {}
    const keep = async (way: string, make: () => Promise<Model>): Promise<void> => {
      results.runs[name][way] ??= {}
      const bySeed = results.runs[name][way]
      if (bySeed[seed]) return
      bySeed[seed] = await measure(await make(), net)
      await writeResults(out, results as unknown as Record<string, unknown>)
      await writeTable()
    }
    const float = await net.float(seed)
    await keep('float', async () => float)
    for (const [way, make] of Object.entries(ways)) {
      const what = `${name}-${way.replaceAll(/[ ,]+/g, '-')}-${seed}`
      await keep(way, () => make(net, float, trainingContext(net, { seed, what, folder: work })))
    }
  }
}
await writeTable()
