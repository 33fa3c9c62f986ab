/**
 * Table III: is pruning a cure for overfitting?
 *
 *   npm run experiment -- table3 --data DIR [--nets …] [--seeds 0,1,2] [--overfit-epochs 60] [--overfit-rate half of the net's]
 *     [--sparsities 0,0.2,0.4,0.6,0.8,0.9,0.95,0.98,0.99,0.995] [--round-epochs 1] [--limit N training images]
 *
 * The net without Dropout and BatchNormalization (folded into a start that data set; AlexNet has none) learns without weight
 * decay and flips until it knows 99.9 % of its training images. From there it is pruned to each sparsity, at once with one
 * threshold for all layers, and trained for some epochs under the mask, until validation accuracy is a point below the best
 * before. Sparsity 0 is the control: the same training, nothing pruned. The sparsity is chosen on validation data. Without
 * normalisation gradients are clipped to a norm of 1. (The published code turned its regularisers on again with every epoch,
 * and chose on test data.)
 */
import { join } from 'node:path'
import { pruneAndTrain } from '../../src/prune/prune-and-train.ts'
import { removeDead } from '../../src/prune/remove-dead.ts'
import { dropRegularisers } from '../../src/train/drop-regularisers.ts'
import { train } from '../../src/train/train.ts'
import type { EpochRecord } from '../../src/train/train-options.ts'
import { flag, readResults, writeResults } from '../_shared.mts'
import { paperOverfitting } from './_paper.mts'
import { parameters, percent, resultsFolder, type Setup, setups } from './_setup.mts'
import { writeTables } from './_tables.mts'

const goal = 0.999
const overfitEpochs = Number(flag('overfit-epochs', '60'))
const sparsities = flag('sparsities', '0,0.2,0.4,0.6,0.8,0.9,0.95,0.98,0.99,0.995').split(',').map(Number)
/** Points of validation accuracy. */
const fallen = 1
const roundEpochs = Number(flag('round-epochs', '1'))
const out = join(resultsFolder, 'table3.json')
for await (const setup of setups()) {
  const overfitRate = Number(flag('overfit-rate', String(Number(setup.settings.rate) / 2)))
  const name = `overfitted-${overfitEpochs}-at-${overfitRate}`
  const key = `${setup.key}, ${name}, pruned to ${sparsities} with ${roundEpochs} epochs`
  if (readResults(out)[key]) continue
  const row = await rowOf(setup, name, overfitRate)
  console.error(JSON.stringify(row))
  await writeResults(out, { ...readResults(out), [key]: row })
  await writeTables(resultsFolder)
}

async function rowOf(setup: Setup, name: string, overfitRate: number): Promise<Record<string, unknown>> {
  const { net, set, seed, settings, batcher, threads, training, validation, test } = setup
  const bare = { augment: undefined, optimizer: setup.optimizer(0), clipNorm: 1 }
  const measured = async (m: Parameters<Setup['measure']>[0]) => ({
    parameters: parameters(m),
    trainPercent: percent((await setup.measure(m, training)).accuracy),
    validationPercent: percent((await setup.measure(m, validation)).accuracy),
    testPercent: percent((await setup.measure(m, test)).accuracy),
  })
  const reference = await measured(await setup.reference())
  const overfittedModel = await setup.made(name, async () => {
    const start = await dropRegularisers(setup.start(), training, { batcher, threads })
    // Measured after the epoch: the mean over its batches is of weights that were still changing.
    const known = ({ validation: v }: EpochRecord): boolean => (v?.accuracy ?? 0) >= goal
    const rate = { epochs: overfitEpochs, learningRate: overfitRate }
    const how = setup.options(name, { ...bare, ...rate, validation: training, until: known })
    const checkpoint = { store: setup.checkpoint(name) }
    return (await train(start, training, { ...how, checkpoint })).model
  })
  const overfitted = await measured(overfittedModel)
  console.error(net, { reference, overfitted })
  const rungs: (Awaited<ReturnType<typeof measured>> & { sparsity: number })[] = []
  for (const sparsity of sparsities) {
    const what = `${name}-pruned-${sparsity}-${roundEpochs}`
    const model = await setup.made(what, () =>
      pruneAndTrain(overfittedModel, training, {
        sparsity,
        scope: 'global',
        score: 'lamp',
        training: setup.options(what, { ...bare, epochs: roundEpochs, learningRate: overfitRate / 2 }),
        context: { seed },
        checkpoint: setup.checkpoint(what),
      }),
    )
    const rung = { sparsity, ...(await measured(await removeDead(model))) }
    rungs.push(rung)
    console.error(net, rung)
    if (rung.validationPercent < Math.max(...rungs.map((r) => r.validationPercent)) - fallen) break
  }
  const pruned = rungs
    .filter((r) => r.sparsity > 0)
    .reduce((best, r) => (r.validationPercent >= best.validationPercent ? r : best))
  return {
    net,
    set,
    seed,
    settings: { ...settings, overfitEpochs, overfitRate, roundEpochs },
    paper: paperOverfitting[net],
    trainingImages: training.length,
    reference,
    overfitted,
    control: rungs.find((r) => r.sparsity === 0),
    pruned,
    rungs,
  }
}
