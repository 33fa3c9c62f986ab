/**
 * Deep Compression's ladder (Han, Mao, Dally 2016, arXiv:1510.00149) on MNIST: prune, share, train the shared values, code.
 *
 *   npm run experiment -- deep-compression --data mnist:DIR [--nets lenet300,lenet5] [--work FOLDER] [--threads 1]
 *
 * A network is trained, pruned in rounds to the paper's shares of each layer, and its weights get 2^bits values per layer, by
 * k-means from linear starts, as many bits as the row says for convolutions and for dense layers; then the values are trained.
 * Beside each row is what the paper's formula gives for sharing alone, r = nb / (n log2 k + kb), over the n weights that are
 * left, with b = 32; and what the packed file takes in truth, every byte.
 *
 * A tenth of the training images are held back and not used. Nothing is chosen by the test set, which is met by each network
 * once per row, decoded from its packed bytes. Writes results/NET.json and results/table.md; a run that was cut off goes on.
 */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import { splitDataset } from '../../src/data/batches.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import { type BoundData, dataHandle } from '../../src/data/handle.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import { packModel } from '../../src/formats/pack.ts'
import { unpackModel } from '../../src/formats/unpack.ts'
import { weightTensors } from '../../src/graph/weights.ts'
import type { Context } from '../../src/method.ts'
import type { Model } from '../../src/model.ts'
import { checkpointFile } from '../../src/node/checkpoint-file.ts'
import { loadData } from '../../src/node/data.ts'
import { writeFileAtomic } from '../../src/node/files.ts'
import { writeModel } from '../../src/onnx/write.ts'
import { share } from '../../src/quantize/share.ts'
import { count } from '../../src/report/format.ts'
import { finetune } from '../../src/retrain/finetune.ts'
import { pruneInRounds } from '../../src/retrain/prune-in-rounds.ts'
import { floats } from '../../src/tensor/dtype.ts'
import { sgd } from '../../src/train/optimizers.ts'
import { cosine } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { validateClasses } from '../../src/train/validate.ts'
import { zoo } from '../../src/zoo/index.ts'
import { flag, readResults, stored, writeResults } from '../_shared.mts'

interface Net {
  readonly title: string
  readonly training: { readonly epochs: number; readonly rate: number; readonly decay: number }
  /** Shares of zeros: Han et al. 2015, arXiv:1506.02626, tables 3 and 4. */
  readonly sparsities: Readonly<Record<string, number>>
  readonly rounds: number
  readonly finalEpochs: number
  /**
   * How the shared values are trained. LeNet-5's rate is lower: at 0.002 its training loss rose from 0.03 to 8 within an epoch
   * of 8 and 4 bits.
   */
  readonly tuning: { readonly epochs: number; readonly rate: number }
  /** Bits of convolutions (where there are any) and of dense layers. */
  readonly bits: readonly (readonly [conv: number, dense: number])[]
}

const ladder = [
  [8, 5],
  [8, 4],
  [4, 2],
] as const
const curve = [8, 6, 5, 4, 3, 2, 1]

const nets: Readonly<Record<string, Net>> = {
  lenet300: {
    title: 'LeNet-300-100',
    training: { epochs: 40, rate: 0.05, decay: 1e-4 },
    sparsities: { 'fc1.weight': 0.92, 'fc2.weight': 0.91, 'fc3.weight': 0.74 },
    rounds: 4,
    finalEpochs: 3,
    tuning: { epochs: 2, rate: 0.002 },
    bits: ladder,
  },
  lenet5: {
    title: 'LeNet-5',
    training: { epochs: 6, rate: 0.02, decay: 5e-4 },
    sparsities: { 'conv1.weight': 0.34, 'conv2.weight': 0.88, 'ip1.weight': 0.92, 'ip2.weight': 0.81 },
    rounds: 3,
    finalEpochs: 1,
    tuning: { epochs: 1, rate: 0.0005 },
    bits: ladder,
  },
}

interface Measured {
  readonly accuracyPercent: number
  readonly packedBytes: number
}

interface Row {
  readonly convBits: number
  readonly denseBits: number
  readonly shared: Measured
  /** Only of the ladder's rows. */
  readonly trained?: Measured
  /** r of the weights that are left. */
  readonly byFormula: number
}

interface Result {
  readonly net: string
  readonly onnxBytes: number
  readonly float: Measured
  readonly pruned: Measured & { readonly weightsLeft: number; readonly weights: number }
  readonly rows: Readonly<Record<string, Row>>
}

const here = import.meta.dirname
const [work, threads] = [flag('work', join(here, '.coppice')), Number(flag('threads', '1'))]
const out = join(here, 'results')
for (const folder of [work, out]) mkdirSync(folder, { recursive: true })

interface Setting {
  readonly context: Context
  readonly training: Dataset
  readonly test: Dataset
  readonly batcher: BoundData['batcher']
}

async function settingOf(start: Model): Promise<Setting> {
  const splits = await loadData(flag('data'), { seed: 1 })
  const inputs = requiredInputs(start)
  const batcher = batcherFor(inputs, splits.test, guessPreprocess(inputs, splits.test, {}))
  const [training] = splitDataset(splits.train, 0.1, 1)
  const data = dataHandle({ train: training, batcher }, { seed: 1 })
  return { training, test: splits.test, batcher, context: { data, seed: 1 } }
}

async function measure(model: Model, { test, batcher }: Setting): Promise<Measured> {
  const packed = packModel(model)
  const { accuracy } = await validateClasses(unpackModel(packed), test, { batcher, batchSize: 250, threads })
  return { accuracyPercent: Number((100 * accuracy).toFixed(2)), packedBytes: packed.byteLength }
}

function trained(name: string, start: Model, { training: data, batcher }: Setting): Promise<Model> {
  const { epochs, rate, decay } = nets[name].training
  return stored(join(work, `${name}.onnx`), async () => {
    const optimizer = sgd({ weightDecay: decay })
    const { model } = await train(start, data, {
      ...{ batcher, epochs, batchSize: 64, learningRate: rate, optimizer, schedule: cosine(), seed: 1, threads },
      augment: { crop: 2 },
      checkpoint: { store: checkpointFile(join(work, `${name}.checkpoint`)) },
    })
    return model
  })
}

const isConvolution = (dims: readonly number[]): boolean => dims.length > 2

/** Each layer's non-zero weights with 2^bits values. */
async function sharedAt(model: Model, [conv, dense]: readonly [number, number]): Promise<Model> {
  const names = (convolutions: boolean): string[] =>
    weightTensors(model).flatMap((w) => (isConvolution(w.tensor.dims) === convolutions ? [w.name] : []))
  const [convolutions, denses] = [names(true), names(false)]
  const some = await share(model, { values: 2 ** dense, minElements: 1, exclude: convolutions })
  return convolutions.length > 0 ? share(some, { values: 2 ** conv, minElements: 1, exclude: denses }) : some
}

/** nb / (n log2 k + kb), all layers' weights together. */
function byFormula(model: Model, [conv, dense]: readonly [number, number]): number {
  const sums = weightTensors(model).map(({ tensor }) => {
    const n = floats(tensor).filter((v) => v !== 0).length
    const bits = isConvolution(tensor.dims) ? conv : dense
    return { before: 32 * n, after: n * bits + 2 ** bits * 32 }
  })
  return sums.reduce((a, s) => a + s.before, 0) / sums.reduce((a, s) => a + s.after, 0)
}

async function runNet(name: string): Promise<void> {
  const path = join(out, `${name}.json`)
  const { sparsities, rounds, finalEpochs, tuning, bits } = nets[name]
  const start = zoo[name as keyof typeof zoo].build({ seed: 1 })
  const setting = await settingOf(start)
  const float = await trained(name, start, setting)
  const pruned = await stored(join(work, `${name}-pruned.onnx`), () =>
    pruneInRounds(
      float,
      { sparsities, pruning: 'gradual', rounds, epochs: 1, finalEpochs, rate: 0.01, crop: 2 },
      { ...setting.context, checkpoint: checkpointFile(join(work, `${name}-pruned.checkpoint`)) },
    ),
  )
  let result = readResults(path) as unknown as Result
  if (!result.float) {
    const all = weightTensors(pruned).map((w) => floats(w.tensor))
    result = {
      net: name,
      onnxBytes: writeModel(float).byteLength,
      float: await measure(float, setting),
      pruned: {
        ...(await measure(pruned, setting)),
        weights: all.reduce((n, v) => n + v.length, 0),
        weightsLeft: all.reduce((n, v) => n + v.filter((w) => w !== 0).length, 0),
      },
      rows: {},
    }
  }
  const steps = [...bits.map((b) => [b, true] as const), ...curve.map((b) => [[b, b], false] as const)]
  for (const [at, isTrained] of steps) {
    const row = at.join('/')
    if (result.rows[row] && (!isTrained || result.rows[row].trained)) continue
    const shared = await sharedAt(pruned, at)
    const tune = (): Promise<Model> =>
      stored(join(work, `${name}-${at.join('-')}.onnx`), () =>
        finetune(shared, { ...tuning, crop: 2 }, setting.context),
      )
    const measured: Row = {
      convBits: at[0],
      denseBits: at[1],
      byFormula: Number(byFormula(shared, at).toFixed(2)),
      shared: await measure(shared, setting),
      ...(isTrained ? { trained: await measure(await tune(), setting) } : {}),
    }
    result = { ...result, rows: { ...result.rows, [row]: measured } }
    await writeResults(path, result as unknown as Record<string, unknown>)
    console.error(`${name} ${row}: ${JSON.stringify(measured)}`)
  }
}

const percent = (m: Measured | undefined): string => (m ? `${m.accuracyPercent.toFixed(2)} %` : '')

function linesOf({ net, onnxBytes, float, pruned, rows }: Result): string[] {
  const line = (...cells: (string | number)[]): string => `| ${cells.join(' | ')} |`
  const smaller = (m: Measured): string => `${(onnxBytes / m.packedBytes).toFixed(1)} x`
  const { title } = nets[net]
  return [
    line(title, 'float', percent(float), '', '', count(float.packedBytes), smaller(float)),
    line(title, 'pruned', percent(pruned), '', '', count(pruned.packedBytes), smaller(pruned)),
    ...Object.values(rows).map(({ convBits, denseBits, shared, trained: tuned, byFormula: r }) => {
      const last = tuned ?? shared
      const bits = `${convBits} / ${denseBits} bits`
      return line(title, bits, percent(shared), percent(tuned), r, count(last.packedBytes), smaller(last))
    }),
  ]
}

async function writeTable(): Promise<void> {
  const results = Object.keys(nets)
    .filter((name) => readdirSync(out).includes(`${name}.json`))
    .map((name) => readResults(join(out, `${name}.json`)) as unknown as Result)
  const text = `# Deep Compression's ladder

Bits of the values' numbers in convolutions / dense layers: a layer keeps 2^bits values beside zero. Accuracy on the whole
MNIST test set, of the network decoded from its packed file. Formula: r = nb / (n log2 k + kb) of the weights that pruning
left, sharing alone. Smaller: the float .onnx file over the packed one, every byte counted.

| network | weights | accuracy | values trained | formula | packed bytes | smaller |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
${results.flatMap(linesOf).join('\n')}
`
  await writeFileAtomic(join(out, 'table.md'), new TextEncoder().encode(text))
}

for (const name of flag('nets', Object.keys(nets).join()).split(',')) {
  if (!nets[name]) throw new Error(`--nets: there is no "${name}"; expected some of ${Object.keys(nets).join(', ')}`)
  await runNet(name)
  await writeTable()
}
