/**
 * Table II: bytes and latency of the reference, of what Table I chose, and of both on integers.
 *
 *   npm run experiment -- table2 --data DIR [as table1, whose models it takes from the work folder] [--calibration 512]
 *
 * Latency: one image, one thread, all forms in turn within each round, each opened ten times. Integers are calibrated on
 * training images. The paper's code calibrates on one batch of 50; `calibrations` shows what that costs, by way of choosing
 * ranges, and what two other ways to make integers would: one scale for all of a weight's channels, and weights that leave no
 * room for the sums of two products in 16 bits.
 */
import { join } from 'node:path'
import { first } from '../../src/data/batches.ts'
import { fedBatches } from '../../src/data/fed-batches.ts'
import { type Latency, measureLatency } from '../../src/evaluate/latency.ts'
import { packModel } from '../../src/formats/pack.ts'
import { replaceTensors, weightTensors } from '../../src/graph/weights.ts'
import type { Feeds } from '../../src/method.ts'
import type { Model } from '../../src/model.ts'
import { writeModel } from '../../src/onnx/write.ts'
import { checkOptions } from '../../src/options.ts'
import { type Int8Options, int8, prepareInt8 } from '../../src/quantize/int8.ts'
import { openSession } from '../../src/runtime/session.ts'
import { openFastInt8 } from '../../src/search/fast-int8.ts'
import { floats, floatTensor } from '../../src/tensor/dtype.ts'
import { flag, readResults, writeResults } from '../_shared.mts'
import { paperRows } from './_paper.mts'
import { percent, resultsFolder, type Setup, setups } from './_setup.mts'
import { writeTables } from './_tables.mts'

const out = join(resultsFolder, 'table2.json')
/** Of each net, for its times. */
const samples = Number(flag('calibration', '512'))
/** Points of held-back accuracy that "int8 for speed" may lose: it leaves the layers that lose more in float, and slow ones. */
const maxLoss = 0.2
for await (const setup of setups()) {
  if (readResults(out)[setup.key]) continue
  const row = await rowOf(setup)
  console.error(JSON.stringify(row))
  await writeResults(out, { ...readResults(out), [setup.key]: row })
  await writeTables(resultsFolder)
}

interface Choice {
  readonly chosenModel: string
  readonly parameters: number
}

/** The smallest net that Table I chose with these settings, whatever ladders led there. */
function chosenOf(key: string): Choice | undefined {
  type Row = { chosenModel?: string; chosen?: number; rungs: { parameters: number }[] }
  const rows = Object.entries(readResults(join(resultsFolder, 'table1.json'))) as [string, Row][]
  return rows
    .filter(([of]) => of.startsWith(`${key}, `))
    .flatMap(([, { chosenModel, chosen, rungs }]) =>
      chosenModel && chosen !== undefined ? [{ chosenModel, parameters: rungs[chosen].parameters }] : [],
    )
    .toSorted((a, b) => a.parameters - b.parameters)[0]
}

async function rowOf(setup: Setup): Promise<Record<string, unknown>> {
  const { net, set, seed, settings, batcher, training, test } = setup
  const calibrated = (count: number) => (): Feeds[] =>
    [...fedBatches(batcher, first(training, count), 50)].map((b) => b.feeds)
  const chosen = chosenOf(setup.key)
  const none = async (): Promise<Model> => {
    throw new Error(`${net}: Table I chose no net yet; expected it made by experiment table1 with the same flags`)
  }
  const pruned = await (chosen ? setup.made(chosen.chosenModel, none) : none())
  const reference = await setup.reference()
  const context = { data: { calibration: calibrated(samples) }, seed }
  const models: Record<string, Model> = {
    reference,
    pruned,
    int8: await int8(reference, {}, context),
    'pruned, int8': await int8(pruned, {}, context),
  }
  const scoreOf = async (m: Model): Promise<number> => 100 * (await setup.measure(m, setup.validation)).accuracy
  const best = await scoreOf(reference)
  const search = await openFastInt8(reference, {
    ...context,
    compareSpeed: async (...pair) => (await timesOf(pair, setup, 0.02))[1].speedUp,
  })
  const fast = await search.find(async (m) => ({ spent: (best - (await scoreOf(m))) / maxLoss, findings: [] }))
  models['int8 for speed'] = fast.model
  const accuracyOf = async (m: Model): Promise<number> => percent((await setup.measure(m, test)).accuracy)
  const forms: Record<string, Record<string, unknown>> = {}
  for (const [name, model] of Object.entries(models)) {
    forms[name] = {
      testPercent: await accuracyOf(model),
      onnxBytes: writeModel(model).byteLength,
      packedBytes: packModel(model).byteLength,
    }
    console.error(net, name, forms[name])
  }
  const calibrations: Record<string, unknown>[] = []
  const calibrate = async (images: number, how: Partial<Int8Options>, weights: Weights = 'a channel') => {
    const from = weights === 'a channel' ? reference : await onOneScale(reference)
    const made = await int8(from, how, { data: { calibration: calibrated(images) }, seed })
    const { calibration: ranges, biasCorrection, equalise = true, reduceRange = true } = how
    const testPercent = await accuracyOf(made)
    calibrations.push({ images, ranges, biasCorrection, equalise, weights, reduceRange, testPercent })
    console.error(net, calibrations.at(-1))
  }
  for (const images of [50, samples]) {
    for (const calibration of ['min-max', 'mse'] as const)
      for (const biasCorrection of [false, true]) await calibrate(images, { calibration, biasCorrection })
  }
  await calibrate(samples, { calibration: 'mse', biasCorrection: true, equalise: false })
  const asInPaper = { calibration: 'min-max', biasCorrection: false, equalise: false } as const
  await calibrate(50, asInPaper)
  await calibrate(50, asInPaper, 'a tensor')
  await calibrate(50, { ...asInPaper, reduceRange: false })
  await calibrate(50, { ...asInPaper, reduceRange: false }, 'a tensor')
  const times = await timesOf(Object.values(models), setup, 0.005)
  for (const [i, name] of Object.keys(models).entries())
    forms[name] = { ...forms[name], latencyMs: times[i].latencyMs, speedUp: times[i].speedUp }
  forms['int8 for speed'].layersInFloat = fast.kept.size
  return { net, set, seed, settings, paper: paperRows[set]?.[net], ...chosen, forms, calibrations }
}

/** Of one image, one thread. */
async function timesOf(models: readonly Model[], { batcher, test }: Setup, precision: number): Promise<Latency[]> {
  const [{ feeds }] = fedBatches(batcher, test, 1)
  const open = (model: Model) => () => openSession(model, { threads: 1 })
  const contenders = models.map((model, i) => ({ name: String(i), open: open(model), feeds }))
  return measureLatency(contenders, { precision, maxMs: 60_000 })
}

/** What has a scale of its own. */
type Weights = 'a channel' | 'a tensor'

/** The net with BatchNormalization folded and each weight rounded to 127 steps of its largest magnitude, either side of 0. */
async function onOneScale(model: Model): Promise<Model> {
  const prepared = await prepareInt8(model, checkOptions(int8.id, int8.options), {})
  const rounded = weightTensors(prepared).map(({ tensor }) => {
    const values = floats(tensor)
    const step = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0) / 127
    const onGrid = values.map((v) => (step > 0 ? Math.round(v / step) * step : 0))
    return [tensor, floatTensor(tensor.name, tensor.dims, onGrid)] as const
  })
  return replaceTensors(prepared, new Map(rounded))
}
