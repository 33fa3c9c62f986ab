/**
 * Figure 4: accuracy against sparsity, survivors fine-tuned or drawn anew.
 *
 *   npm run experiment -- figure4 --data DIR [--nets …] [--sparsities 0.5,0.8,0.9,0.95] [--round-epochs 2] [--retrain N]
 *
 * The reference is pruned at once, with one threshold for all layers; then its survivors are trained on from what they are at half
 * the rate, or drawn from U(±1/√fanIn) and trained at the full rate, for the same epochs over the first --retrain training images
 * (default: all). The paper found that compact nets do better drawn anew, after 50 epochs; its code drew dense layers only.
 */
import { join } from 'node:path'
import { first } from '../../src/data/batches.ts'
import { writeFileAtomic } from '../../src/node/files.ts'
import { pruneAndTrain } from '../../src/prune/prune-and-train.ts'
import { type Curve, lineChart } from '../_plot.mts'
import { flag, readResults, writeResults } from '../_shared.mts'
import { percent, resultsFolder, type Setup, setups } from './_setup.mts'
import { writeTables } from './_tables.mts'

const out = join(resultsFolder, 'figure4.json')
const epochs = Number(flag('round-epochs', '2'))
const sparsities = flag('sparsities', '0.5,0.8,0.9,0.95').split(',').map(Number)
const retrain = Number(flag('retrain', '0'))
for await (const setup of setups()) {
  const key = `${setup.key}, ${sparsities} with ${epochs} epochs over ${retrain || 'all'}`
  const row = (readResults(out)[key] as Awaited<ReturnType<typeof rowOf>> | undefined) ?? (await rowOf(setup))
  await writeResults(out, { ...readResults(out), [key]: row })
  const svg = lineChart(row.curves, {
    title: `${setup.net}, ${setup.set}: survivors fine-tuned or drawn anew`,
    x: 'zeros in the net, %',
    y: 'top-1 on held-back images, %',
    dashed: { label: 'reference', y: row.referencePercent },
  })
  await writeFileAtomic(join(resultsFolder, `figure4-${setup.net}-${setup.set}.svg`), new TextEncoder().encode(svg))
  await writeTables(resultsFolder)
}

async function rowOf(setup: Setup) {
  const { net, set, seed, settings, training, validation } = setup
  const images = retrain || training.length
  const reference = await setup.reference()
  const curves: Curve[] = []
  for (const [label, restart] of [
    ['fine-tuned', false],
    ['drawn anew', true],
  ] as const) {
    const points: [number, number][] = []
    for (const sparsity of sparsities) {
      const what = `${label}-${sparsity}-${epochs}-${images}`.replace(' ', '-')
      const learningRate = Number(settings.rate) / (restart ? 1 : 2)
      const model = await setup.made(what, () =>
        pruneAndTrain(reference, first(training, images), {
          sparsity,
          scope: 'global',
          score: 'lamp',
          restart,
          training: setup.options(what, { epochs, learningRate }),
          context: { seed },
          checkpoint: setup.checkpoint(what),
        }),
      )
      points.push([percent(sparsity), percent((await setup.measure(model, validation)).accuracy)])
      console.error(net, label, points.at(-1))
    }
    curves.push({ label, points })
  }
  const referencePercent = percent((await setup.measure(reference, validation)).accuracy)
  return { net, set, seed, settings, epochs, images, referencePercent, curves }
}
