/**
 * Figure 3: accuracy against sparsity, each layer pruned alone, without retraining and with a short one.
 *
 *   npm run experiment -- figure3 --data DIR [--nets …] [--layers 8] [--samples 2000] [--retrain 5000]
 *
 * The --layers largest weights of the reference. Accuracy is of the first --samples held-back images; a short retraining is one
 * epoch over the first --retrain training images under the mask, at a tenth of the rate.
 */
import { join } from 'node:path'
import { first } from '../../src/data/batches.ts'
import { weightTensors } from '../../src/graph/weights.ts'
import { writeFileAtomic } from '../../src/node/files.ts'
import { pruneAndTrain } from '../../src/prune/prune-and-train.ts'
import { scan } from '../../src/search/scan.ts'
import { sizeOf } from '../../src/tensor/dtype.ts'
import { type Curve, lineChart } from '../_plot.mts'
import { flag, readResults, writeResults } from '../_shared.mts'
import { percent, resultsFolder, type Setup, setups } from './_setup.mts'
import { writeTables } from './_tables.mts'

const out = join(resultsFolder, 'figure3.json')
const sparsities = flag('sparsities', '0.3,0.5,0.7,0.8,0.9,0.95').split(',').map(Number)
const retrained = flag('retrained', '0.5,0.8,0.95').split(',').map(Number)
const layers = Number(flag('layers', '8'))
const samples = Number(flag('samples', '2000'))
const retrain = Number(flag('retrain', '5000'))
for await (const setup of setups()) {
  const key = `${setup.key}, ${layers} layers, ${sparsities} on ${samples}, ${retrained} after ${retrain}`
  const row = (readResults(out)[key] as Awaited<ReturnType<typeof rowOf>> | undefined) ?? (await rowOf(setup))
  await writeResults(out, { ...readResults(out), [key]: row })
  for (const [name, title] of [
    ['plain', 'without retraining'],
    ['retrained', 'after a short retraining'],
  ] as const) {
    const svg = lineChart(row[name], {
      title: `${setup.net}, ${setup.set}: each layer pruned alone, ${title}`,
      x: 'zeros in the layer, %',
      y: 'top-1 on held-back images, %',
      dashed: { label: 'reference', y: row.referencePercent },
    })
    await writeFileAtomic(
      join(resultsFolder, `figure3-${setup.net}-${setup.set}-${name}.svg`),
      new TextEncoder().encode(svg),
    )
  }
  await writeTables(resultsFolder)
}

async function rowOf(setup: Setup) {
  const { net, set, seed, settings, batcher, threads, training } = setup
  const data = first(setup.validation, samples)
  const few = first(training, retrain)
  const reference = await setup.reference()
  const sizes = weightTensors(reference).map((w) => ({ name: w.name, size: sizeOf(w.tensor.dims) }))
  const largest = sizes.toSorted((a, b) => b.size - a.size).slice(0, layers)
  // In the order of the graph.
  const names = sizes.filter((s) => largest.includes(s)).map((s) => s.name)
  const progress = (_: number, what: string): void => console.error(net, what)
  const scanned = await scan(reference, { batcher, data }, { sparsities, names, threads, progress })
  const plain: Curve[] = scanned.curves.map(({ name, points }) => ({
    label: name,
    points: points.map((p) => [percent(p.sparsity), percent(p.accuracy)]),
  }))
  const curves: Curve[] = []
  for (const name of names) {
    const points: [number, number][] = []
    for (const sparsity of retrained) {
      const how = setup.options(`${name} at ${sparsity}`, {
        epochs: 1,
        learningRate: Number(settings.rate) / 10,
      })
      const options = { sparsity, sparsities: { [name]: sparsity }, training: how, context: { seed } }
      const model = await pruneAndTrain(reference, few, options)
      points.push([percent(sparsity), percent((await setup.measure(model, data)).accuracy)])
      console.error(net, name, points.at(-1))
    }
    curves.push({ label: name, points })
  }
  const images = { validation: data.length, retraining: few.length }
  const referencePercent = percent(scanned.reference.accuracy)
  return { net, set, seed, settings, images, referencePercent, plain, retrained: curves }
}
