/**
 * Fine-tuning a trained network without losing accuracy: cifar10-resnet20, one more epoch on CIFAR-10.
 *
 * The options are chosen on 5,000 training images that are held back: the lowest loss on them after a pass over 10,000
 * others. (The network was trained on all 50,000, so it does better on those than on images it has never seen.)
 * Then the chosen options train on the whole training set, from three seeds, and each result meets the test set once.
 *
 *   COPPICE_MODELS=… COPPICE_CIFAR10=… npx tsx bench/finetune-resnet20.mts
 *
 * Writes bench/results/finetune-resnet20.json after each run; runs that are in it are not done again.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { batcherFor, requiredInputs } from '../src/data/batcher.ts'
import { splitDataset } from '../src/data/batches.ts'
import type { Dataset } from '../src/data/dataset.ts'
import { sgd } from '../src/train/optimizers.ts'
import { cosine } from '../src/train/schedules.ts'
import { train } from '../src/train/train.ts'
import { type ClassValidation, validateClasses } from '../src/train/validate.ts'
import { loadCase } from './_cases.mts'

const resultFile = join(import.meta.dirname, 'results/finetune-resnet20.json')
const { model, train: training, test, preprocess } = await loadCase('cifar10-resnet20')
const measured = { batcher: batcherFor(requiredInputs(model), training, preprocess), batchSize: 128, threads: 2 }
const [others, heldBack] = splitDataset(training, 0.1, 1)
const [, tried] = splitDataset(others, 10_000 / others.length, 2)

interface Choice {
  readonly rate: number
  readonly frozenStatistics: boolean
  readonly augment: boolean
}

const choices: Readonly<Record<string, Choice>> = {
  'rate 0.001': { rate: 0.001, frozenStatistics: false, augment: false },
  'rate 0.001, frozen statistics': { rate: 0.001, frozenStatistics: true, augment: false },
  'rate 0.001, crop and flip': { rate: 0.001, frozenStatistics: false, augment: true },
  'rate 0.001, frozen statistics, crop and flip': { rate: 0.001, frozenStatistics: true, augment: true },
}

interface Results {
  readonly heldBack: Record<string, ClassValidation>
  chosen?: string
  readonly test: Record<string, ClassValidation>
}

const results: Results = existsSync(resultFile)
  ? JSON.parse(readFileSync(resultFile, 'utf8')).results
  : { heldBack: {}, test: {} }

async function finetune(data: Dataset, { rate, frozenStatistics, augment }: Choice, seed: number) {
  const { model: tuned } = await train(model, data, {
    ...measured,
    epochs: 1,
    learningRate: rate,
    optimizer: sgd({ momentum: 0.9 }),
    schedule: cosine(),
    frozenStatistics,
    seed,
    ...(augment ? { augment: { crop: 4, flip: true } } : {}),
  })
  return tuned
}

/** Measures what is not in the results yet, and writes it down. */
async function once(
  into: Record<string, ClassValidation>,
  name: string,
  measure: () => Promise<ClassValidation>,
): Promise<void> {
  if (into[name]) return
  const { loss, accuracy } = await measure()
  into[name] = { loss, accuracy }
  console.log(`${name}: loss ${loss.toFixed(4)}, accuracy ${(100 * accuracy).toFixed(2)} %`)
  write()
}

function write(): void {
  const about = {
    command: 'npx tsx bench/finetune-resnet20.mts',
    what: 'cifar10-resnet20, one epoch of SGD with momentum 0.9, batch 128, cosine schedule, no weight decay; heldBack: 5,000 training images, after a pass over 10,000 others; test: the 10,000 test images, by seed, after training on all 50,000 with the chosen options',
    choices,
  }
  writeFileSync(resultFile, `${JSON.stringify({ ...about, results }, null, 2)}\n`)
}

await once(results.heldBack, 'before', () => validateClasses(model, heldBack, measured))
for (const [name, choice] of Object.entries(choices))
  await once(results.heldBack, name, async () => validateClasses(await finetune(tried, choice, 0), heldBack, measured))
const lossOf = (name: string): number => results.heldBack[name].loss
const chosen = Object.keys(choices).reduce((best, name) => (lossOf(name) < lossOf(best) ? name : best))
results.chosen = chosen
await once(results.test, 'before', () => validateClasses(model, test, measured))
for (const seed of [0, 1, 2]) {
  await once(results.test, `seed ${seed}`, async () =>
    validateClasses(await finetune(training, choices[chosen], seed), test, measured),
  )
}
