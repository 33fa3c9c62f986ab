/**
 * Pruning and bits by Taylor score (Yu et al. 2020, arXiv:2010.01892) beside pruning by magnitude and equal bits: a stereo network on
 * scenes drawn here, LeNet-5 of half the width on Fashion-MNIST, and ResNet-20 on CIFAR-10. Memory and bit operations are counted as that paper's field counts them.
 *
 *   COPPICE_MODELS=… COPPICE_DATA=… COPPICE_CIFAR10=… npm run experiment -- taylor-bits [--nets stereo,lenet5,resnet20] [--seeds 0,1] [--work FOLDER]
 *
 * Both ways have the same rounds, epochs, sparsity over all weights and mean bits, and start from the same float network. Memory is
 * the weights that are not zero times their bits, beside 32 bits for every weight; with places, the whole packed file beside the
 * packed float network. A bit operation is a multiply-add times the bits of the weight and of the input; one with a weight of
 * zero is none. Choices were made beforehand; each network meets the test data once. Writes results/run.json and .md; a run that was
 * cut off goes on.
 */
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { loadCase } from '../../bench/_cases.mts'
import { type BoundBatcher, batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import { fedBatches } from '../../src/data/fed-batches.ts'
import { drawSamples } from '../../src/data/handle.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import { packModel } from '../../src/formats/pack.ts'
import { inspectModel } from '../../src/inspect/inspect.ts'
import type { Context } from '../../src/method.ts'
import type { Model } from '../../src/model.ts'
import { loadData } from '../../src/node/data.ts'
import { writeFileAtomic } from '../../src/node/files.ts'
import { count } from '../../src/report/format.ts'
import { finetune } from '../../src/retrain/finetune.ts'
import { pruneInRounds } from '../../src/retrain/prune-in-rounds.ts'
import { taylorBits } from '../../src/retrain/taylor-bits.ts'
import { trainQuantised } from '../../src/retrain/train-quantised.ts'
import { openSession } from '../../src/runtime/session.ts'
import { floats, integers } from '../../src/tensor/dtype.ts'
import { validateClasses } from '../../src/train/validate.ts'
import { zoo } from '../../src/zoo/index.ts'
import { flag, meanAndSpread, readResults, stored, trainingContext, writeResults } from '../_shared.mts'
import { stereoNet, stereoScenes } from './_stereo.mts'

interface Net {
  readonly title: string
  readonly train: Dataset
  readonly test: Dataset
  readonly batcher: BoundBatcher
  readonly learning: Parameters<typeof taylorBits>[1]
  readonly few: {
    readonly sparsity: number
    readonly meanBits: number
    readonly activationBits: number
    readonly rounds: number
    readonly bitEpochs: number
  }
  float(seed: number): Promise<Model>
  /** Test accuracy or error, by its name in the table. */
  score(model: Model): Promise<Record<string, number>>
}

interface Measured {
  readonly scores: Readonly<Record<string, number>>
  readonly zerosPercent: number
  readonly weightBits: number
  readonly bitOperations: number
  readonly packedBytes: number
}

const work = flag('work', '.coppice/experiments/taylor-bits')
const out = join(import.meta.dirname, 'results', 'run.json')
for (const folder of [work, dirname(out)]) mkdirSync(folder, { recursive: true })
interface Results {
  /** By net. */
  readonly about: Record<string, Pick<Net, 'title' | 'few'>>
  /** By net, way and seed. */
  readonly runs: Record<string, Record<string, Record<string, Measured>>>
}
const results = { about: {}, runs: {}, ...readResults(out) } as Results

async function stereo(): Promise<Net> {
  const [set, test] = [stereoScenes(300, 1, 'scenes (train)'), stereoScenes(200, 2, 'scenes (test)')]
  const batcher = batcherFor(requiredInputs(stereoNet(0)), set, { range: [0, 1], layout: 'NCHW' })
  const learning = { batch: 16, rate: 0.002, optimizer: 'adam' } as const
  const net: Net = {
    title: 'stereo network, drawn scenes',
    ...{ train: set, test, batcher },
    learning: { ...learning, epochs: 2 },
    few: { sparsity: 0.85, meanBits: 4, activationBits: 8, rounds: 3, bitEpochs: 4 },
    float: (seed) =>
      stored(join(work, `stereo-float-${seed}.onnx`), () =>
        finetune(
          stereoNet(seed),
          { ...learning, epochs: 12, keep: 'none' },
          trainingContext(net, { seed, what: `stereo-float-${seed}`, folder: work }),
        ),
      ),
    async score(model) {
      const session = await openSession(model, { threads: 1 })
      let [error, wrong, pixels] = [0, 0, 0]
      const wanted = test.targets?.data ?? []
      for (const { feeds } of fedBatches(batcher, test, 50)) {
        const [{ data }] = Object.values(await session.run(feeds))
        for (const v of data as Float32Array) {
          const apart = Math.abs(v - Number(wanted[pixels++]))
          error += apart
          if (apart > 1) wrong++
        }
      }
      await session.release()
      return {
        'mean error, pixels': Number((error / pixels).toFixed(3)),
        'off by more than a pixel, %': Number(((100 * wrong) / pixels).toFixed(2)),
      }
    },
  }
  return net
}

async function accuracyOf(
  model: Model,
  { test, batcher }: Pick<Net, 'test' | 'batcher'>,
): Promise<Record<string, number>> {
  const { accuracy } = await validateClasses(model, test, { batcher, batchSize: 250, threads: 1 })
  return { 'test accuracy, %': Number((100 * accuracy).toFixed(2)) }
}

async function lenet5(): Promise<Net> {
  const start = (seed: number): Model => zoo.lenet5.build({ seed, width: 0.5 })
  const splits = await loadData(`fashion-mnist:${join(process.env.COPPICE_DATA ?? '', 'fashion-mnist')}`, { seed: 0 })
  const inputs = requiredInputs(start(0))
  const test = splits.test
  const batcher = batcherFor(inputs, test, guessPreprocess(inputs, test, {}))
  const learning = { batch: 64, rate: 0.02, crop: 1 } as const
  const net: Net = {
    title: 'LeNet-5 of half the width, Fashion-MNIST (6,000 training images)',
    ...{ train: drawSamples(splits.train, 6000, 0), test, batcher },
    learning: { ...learning, epochs: 2 },
    few: { sparsity: 0.95, meanBits: 3, activationBits: 8, rounds: 3, bitEpochs: 4 },
    float: (seed) =>
      stored(join(work, `lenet5-float-${seed}.onnx`), () =>
        finetune(
          start(seed),
          { ...learning, epochs: 6 },
          trainingContext(net, { seed, what: `lenet5-float-${seed}`, folder: work }),
        ),
      ),
    score: (m) => accuracyOf(m, { test, batcher }),
  }
  return net
}

async function resnet20(): Promise<Net> {
  const { model, train: all, test, preprocess } = await loadCase('cifar10-resnet20')
  const batcher = batcherFor(requiredInputs(model), all, preprocess)
  const set = drawSamples(all, Number(flag('samples', '10000')), 0)
  return {
    title: 'ResNet-20, CIFAR-10 (a fifth of the training images)',
    ...{ train: set, test, batcher },
    learning: { batch: 128, rate: 0.02, decay: 1e-4, crop: 4, flip: true, epochs: 1 },
    few: { sparsity: 0.8, meanBits: 3, activationBits: 8, rounds: 3, bitEpochs: 3 },
    float: async () => model,
    score: (m) => accuracyOf(m, { test, batcher }),
  }
}

type Way = (net: Net, float: Model, context: Context) => Promise<Model>

const ways: Readonly<Record<string, Way>> = {
  'Taylor score': ({ learning, few }, float, context) => taylorBits(float, { ...learning, ...few }, context),
  'magnitude, equal bits': async ({ learning, few }, float, { checkpoint: _, ...context }) => {
    const { sparsity, rounds, meanBits: weightBits, activationBits, bitEpochs } = few
    const pruned = await pruneInRounds(
      float,
      { ...learning, sparsity, scope: 'global', pruning: 'gradual', rounds },
      context,
    )
    return trainQuantised(pruned, { ...learning, weightBits, activationBits, edgeBits: 0, epochs: bitEpochs }, context)
  },
}

interface Weight {
  readonly nonzero: number
  readonly size: number
  readonly bits: number
}

/** Weights in the order of their layers: float ones have 32 bits, integers as many as their levels take. */
function weightsOf(model: Model): Weight[] {
  const layers = model.graph.nodes.filter((n) => n.op === 'Conv' || n.op === 'Gemm' || n.op === 'MatMul')
  return layers.map(({ inputs }) => {
    const producer = model.graph.nodes.find((n) => n.outputs[0] === inputs[1])
    const tensor = model.graph.initializers.get(producer?.inputs[0] ?? inputs[1])
    if (!tensor) throw new Error(`taylor-bits: weight "${inputs[1]}" is not stored`)
    const isInteger = tensor.dtype === 'int8'
    const values = Array.from(isInteger ? (integers(tensor) as ArrayLike<number>) : floats(tensor))
    const nonzero = values.filter((v) => v !== 0)
    // Few levels are stored times a power of two.
    const unit = nonzero.reduce((a, v) => gcd(a, Math.abs(v)), 0) || 1
    const [least, most] = [Math.min(0, ...nonzero) / unit, Math.max(0, ...nonzero) / unit]
    const signed = Math.max(Math.ceil(Math.log2(most + 1)), Math.ceil(Math.log2(-least || 1))) + 1
    return { nonzero: nonzero.length, size: values.length, bits: isInteger ? signed : 32 }
  })
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

async function measure(model: Model, { score, few }: Net, isFloat: boolean): Promise<Measured> {
  const weights = weightsOf(model)
  const total = (of: (w: Weight) => number): number => weights.reduce((n, w) => n + of(w), 0)
  const macs = inspectModel(model).layers.flatMap(({ op, macs }) =>
    /^(Conv|Gemm|MatMul)$/.test(op) ? [macs ?? 0] : [],
  )
  const inputBits = isFloat ? 32 : few.activationBits
  return {
    scores: await score(model),
    zerosPercent: Number((100 * (1 - total((w) => w.nonzero) / total((w) => w.size))).toFixed(1)),
    weightBits: isFloat ? 32 * total((w) => w.size) : total((w) => w.nonzero * w.bits),
    bitOperations: weights.reduce(
      (n, w, i) => n + macs[i] * (isFloat ? 1 : w.nonzero / w.size) * w.bits * inputBits,
      0,
    ),
    packedBytes: packModel(model).byteLength,
  }
}

function writeTable(): Promise<void> {
  const parts = Object.entries(results.about).map(([name, { title, few }]) => {
    const runs = results.runs[name] ?? {}
    const floatRuns = Object.values(runs.float ?? {})
    const scores = Object.keys(floatRuns[0]?.scores ?? {})
    const head = ['way', ...scores, 'zeros, %', 'memory of weights', 'bit operations', 'packed bytes', 'seeds']
    const rows = Object.entries(runs).map(([way, bySeed]) => {
      const all = Object.values(bySeed)
      const mean = (of: (m: Measured) => number): number => all.reduce((n, m) => n + of(m), 0) / all.length
      const smaller = (of: (m: Measured) => number): string =>
        `${(floatRuns.reduce((n, m) => n + of(m), 0) / floatRuns.length / mean(of)).toFixed(1)} x less`
      return [
        way,
        ...scores.map((s) => meanAndSpread(all.map((m) => m.scores[s]))),
        mean((m) => m.zerosPercent).toFixed(1),
        way === 'float' ? count(Math.round(mean((m) => m.weightBits / 8))) : smaller((m) => m.weightBits),
        way === 'float' ? count(Math.round(mean((m) => m.bitOperations))) : smaller((m) => m.bitOperations),
        count(Math.round(mean((m) => m.packedBytes))),
        all.length,
      ]
    })
    const lines = [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows]
    const aim = `${100 * few.sparsity} % of the weights zero, ${few.meanBits} bits per weight on average, ${few.activationBits} of activations`
    return `## ${title}\n\nAim: ${aim}.\n\n${lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`
  })
  const text = `# Pruning and bits by Taylor score

Made by \`npm run experiment -- taylor-bits\`, whose first comment says how memory and bit operations are counted. Mean and standard
deviation over seeds.

${parts.join('\n')}`
  return writeFileAtomic(out.replace(/json$/, 'md'), new TextEncoder().encode(text))
}

const makers: Readonly<Record<string, () => Promise<Net>>> = { stereo, lenet5, resnet20 }
const nets = new Map<string, Net>()
for (const name of flag('nets', Object.keys(makers).join()).split(',')) nets.set(name, await makers[name]())
for (const seed of flag('seeds', '0,1').split(',').map(Number)) {
  for (const [name, net] of nets) {
    results.about[name] = { title: net.title, few: net.few }
    results.runs[name] ??= {}
    const keep = async (way: string, make: () => Promise<Model>): Promise<void> => {
      results.runs[name][way] ??= {}
      const bySeed = results.runs[name][way]
      if (bySeed[seed]) return
      bySeed[seed] = await measure(await make(), net, way === 'float')
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
