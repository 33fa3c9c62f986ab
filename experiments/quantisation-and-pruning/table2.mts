/**
 * Table II: bytes and latency of the reference, of what Table I chose, and of both on integers.
 *
 *   npm run experiment -- table2 --data DIR [as table1, whose models it takes from the work folder] [--calibration 512]
 *
 * Latency: one image, one thread, all forms in turn within each round. Integers are calibrated on training images. The paper's code
 * calibrates on one batch of 50; `calibrations` shows what that costs, by way of choosing ranges.
 */
import { join } from 'node:path'
import { first } from '../../src/data/batches.ts'
import { fedBatches } from '../../src/evaluate/accuracy.ts'
import { measureLatency } from '../../src/evaluate/latency.ts'
import { packModel } from '../../src/formats/pack.ts'
import type { Feeds } from '../../src/method.ts'
import type { Model } from '../../src/model.ts'
import { writeModel } from '../../src/onnx/write.ts'
import { int8 } from '../../src/quantize/int8.ts'
import { openSession } from '../../src/runtime/session.ts'
import { paperRows } from './_paper.mts'
import { percent, resultsFolder, type Setup, setups } from './_setup.mts'
import { flag, readResults, writeResults } from './_shared.mts'
import { writeTables } from './_tables.mts'

const out = join(resultsFolder, 'table2.json')
const samples = Number(flag('calibration', '512'))
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
  const context = { calibration: calibrated(samples), seed }
  const models: Record<string, Model> = {
    reference,
    pruned,
    int8: await int8(reference, {}, context),
    'pruned, int8': await int8(pruned, {}, context),
  }
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
  for (const count of [50, samples]) {
    for (const calibration of ['min-max', 'mse'] as const) {
      for (const biasCorrection of [false, true]) {
        const made = await int8(reference, { calibration, biasCorrection }, { calibration: calibrated(count), seed })
        calibrations.push({ images: count, ranges: calibration, biasCorrection, testPercent: await accuracyOf(made) })
        console.error(net, calibrations.at(-1))
      }
    }
  }
  const [{ feeds }] = fedBatches(batcher, test, 1)
  const contenders = []
  for (const [name, model] of Object.entries(models))
    contenders.push({ name, session: await openSession(model, { threads: 1 }), feeds })
  for (const { name, latencyMs, speedUp } of await measureLatency(contenders, { rounds: 200, maxMs: 15_000 }))
    forms[name] = { ...forms[name], latencyMs, speedUp }
  for (const { session } of contenders) await session.release()
  return { net, set, seed, settings, paper: paperRows[set]?.[net], ...chosen, forms, calibrations }
}
