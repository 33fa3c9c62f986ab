/**
 * Table I: how few parameters hold the reference's accuracy?
 *
 *   npm run experiment -- table1 --data DIR|fashion-mnist:DIR|cifar10:DIR [--nets mobilenetV2,shufflenetV2,alexnet] [--seeds 0]
 *     [--epochs N] [--round-epochs 1] [--final-epochs 2] [--ladder 0.5,0.7,…] [--control yes|no] [--threads 2]
 *     [--rate R] [--decay D] [--stem imagenet|cifar] [--crop PIXELS] [--mixup A] [--restart EPOCHS] [--pruning-rate R]
 *
 * The reference is pruned by magnitude (LAMP: one threshold for all layers, on
 * weights relative to their layer), to one sparsity after the other, and its survivors are
 * trained for an epoch under their mask after each step (the paper's code prunes once, the same share of every layer, whole
 * filters of convolutions). The climb ends where validation accuracy is a point below the reference's; the highest sparsity
 * within half a point is then trained for some epochs more. Chosen is the highest sparsity at which validation accuracy is no lower
 * than the reference's. Dead units are removed. Test accuracy is measured at the end, of all of them, and decides nothing. The
 * control is the reference trained on as the chosen net was, with nothing pruned: what of a gain is the training's alone.
 */
import { join } from 'node:path'
import type { Model } from '../../src/model.ts'
import { pruneAndTrain } from '../../src/prune/prune-and-train.ts'
import { removeDead } from '../../src/prune/remove-dead.ts'
import { flag, readResults, writeResults } from '../_shared.mts'
import { type NetName, paperRows } from './_paper.mts'
import { parameters, percent, resultsFolder, type Setup, setups } from './_setup.mts'
import { writeTables } from './_tables.mts'

/** The first sparsity leaves no more parameters than the paper does. */
const ladders: Readonly<Record<NetName, string>> = {
  mobilenetV2: '0.55,0.75,0.86,0.92,0.95',
  shufflenetV2: '0.4,0.6,0.75,0.83,0.88,0.92,0.945,0.96',
  alexnet: '0.92,0.96,0.98,0.99,0.995',
}

const roundEpochs = Number(flag('round-epochs', '1'))
const finalEpochs = Number(flag('final-epochs', '2'))
const out = join(resultsFolder, 'table1.json')
for await (const setup of setups()) {
  const ladder = flag('ladder', ladders[setup.net])
  const key = `${setup.key}, ladder ${ladder}, ${roundEpochs} and ${finalEpochs} epochs`
  const done = readResults(out)[key] as Row | undefined
  const row = done ?? (await rowOf(setup, ladder.split(',').map(Number)))
  const wanted = flag('control', 'yes') === 'yes' && row.chosen !== undefined && !row.control
  if (done && !wanted) continue
  if (wanted) {
    await writeResults(out, { ...readResults(out), [key]: row })
    row.control = await controlOf(setup, row.rungs, row.chosen as number)
  }
  console.error(JSON.stringify(row))
  await writeResults(out, { ...readResults(out), [key]: row })
  await writeTables(resultsFolder)
}

export interface Rung {
  readonly sparsity: number
  /** Epochs of training after the last pruning, and after all. */
  readonly epochs: number
  readonly epochsInAll: number
  readonly parameters: number
  readonly validationPercent: number
  readonly testPercent: number
}

interface Climbed extends Pick<Rung, 'sparsity' | 'epochs' | 'epochsInAll'> {
  /** Names it in the work folder: every step that led there. */
  readonly what: string
  readonly model: Model
  readonly accuracy: number
}

interface Row extends Record<string, unknown> {
  readonly rungs: readonly Rung[]
  /** Which of the rungs. */
  readonly chosen?: number
  control?: Control
}

interface Control {
  readonly epochs: number
  readonly validationPercent: number
  readonly testPercent: number
}

/** Half of the reference's where none is given. */
function pruningRate({ settings }: Setup): number {
  return Number(flag('pruning-rate', String(Number(settings.rate) / 2)))
}

/** The net, pruned and trained on. */
function pruned(setup: Setup, from: Model, what: string, how: { sparsity: number; epochs: number }): Promise<Model> {
  return setup.made(what, () =>
    pruneAndTrain(from, setup.training, {
      sparsity: how.sparsity,
      scope: 'global',
      score: 'lamp',
      training: setup.options(what, { epochs: how.epochs, learningRate: pruningRate(setup) }),
      context: { seed: setup.seed },
      checkpoint: setup.checkpoint(what),
    }),
  )
}

/** The reference after the trainings that led to the chosen net, nothing pruned. */
async function controlOf(setup: Setup, rungs: readonly Rung[], chosen: number): Promise<Control> {
  const { sparsity, epochs } = rungs[chosen]
  const steps = new Set(rungs.map((r) => r.sparsity).filter((s) => s <= sparsity)).size
  const trainings = [...Array<number>(steps).fill(roundEpochs), ...(epochs > roundEpochs ? [epochs - roundEpochs] : [])]
  let model = await setup.reference()
  let what = 'control'
  for (const each of trainings) {
    what += `-${each}`
    model = await pruned(setup, model, what, { sparsity: 0, epochs: each })
  }
  return {
    epochs: trainings.reduce((a, b) => a + b, 0),
    validationPercent: percent((await setup.measure(model, setup.validation)).accuracy),
    testPercent: percent((await setup.measure(model, setup.test)).accuracy),
  }
}

async function rowOf(setup: Setup, ladder: readonly number[]): Promise<Row> {
  const { net, set, seed, settings } = setup
  const accuracyOf = async (m: Model): Promise<number> => (await setup.measure(m, setup.validation)).accuracy
  const reference = await setup.reference()
  const goal = await accuracyOf(reference)
  console.error(`${setup.key}: reference ${percent(goal)} % on validation data`)
  const climbed: Climbed[] = []
  let model = reference
  let what = `pruned-${roundEpochs}`
  for (const sparsity of ladder) {
    const epochs = roundEpochs
    what += `-${sparsity}`
    model = await pruned(setup, model, what, { sparsity, epochs })
    const accuracy = await accuracyOf(model)
    console.error(`${net}: sparsity ${sparsity}: ${percent(accuracy)} % on validation data`)
    climbed.push({ sparsity, epochs, epochsInAll: epochs * (climbed.length + 1), what, model, accuracy })
    if (accuracy < goal - 0.01) break
  }
  const promising = climbed.findLast((r) => r.accuracy >= goal - 0.005)
  if (promising && finalEpochs > 0) {
    const { sparsity, epochs, epochsInAll } = promising
    const more = { epochs: epochs + finalEpochs, epochsInAll: epochsInAll + finalEpochs }
    const what = `${promising.what}-final-${finalEpochs}`
    const longer = await pruned(setup, promising.model, what, { sparsity, epochs: finalEpochs })
    const accuracy = await accuracyOf(longer)
    console.error(`${net}: sparsity ${sparsity}, ${finalEpochs} epochs more: ${percent(accuracy)} % on validation data`)
    climbed.push({ sparsity, ...more, what, model: longer, accuracy })
  }
  const within = climbed.filter((r) => r.accuracy >= goal)
  const best = within.toSorted((a, b) => a.sparsity - b.sparsity || a.accuracy - b.accuracy).at(-1)
  const rungs: Rung[] = []
  for (const { what, model, accuracy, ...rung } of climbed) {
    const small = await setup.made(`${what}-small`, async () => removeDead(model))
    const testPercent = percent((await setup.measure(small, setup.test)).accuracy)
    rungs.push({ ...rung, parameters: parameters(small), validationPercent: percent(accuracy), testPercent })
  }
  return {
    net,
    set,
    seed,
    settings: { ...settings, pruningRate: pruningRate(setup), threads: setup.threads },
    paper: paperRows[set]?.[net],
    reference: {
      parameters: parameters(reference),
      validationPercent: percent(goal),
      testPercent: percent((await setup.measure(reference, setup.test)).accuracy),
    },
    rungs,
    ...(best ? { chosen: climbed.indexOf(best), chosenModel: `${best.what}-small` } : {}),
  }
}
