/**
 * Masks found without labels (Caron et al. 2020, arXiv:2001.03554): LeNet-5 of half the width, pruned by masks that were found while it
 * learnt how images are turned, or with labels, or that were drawn; on Fashion-MNIST and MNIST, and masks of each used on the other.
 *
 *   npm run experiment -- self-supervised-masks --fashion fashion-mnist:DIR --mnist mnist:DIR [--seeds 0,1,2] [--sparsities 0.95]
 *     [--samples 6000] [--work FOLDER]
 *
 * Per seed: one start; masks from it by `find-mask` (three rounds of two epochs); then from the same start `finetune` for five epochs
 * on labels, under each mask and under none. All see the same `samples` training images. A network meets the test images once.
 * Writes results/run.json and .md; a run that was cut off goes on.
 */
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import { drawSamples } from '../../src/data/handle.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import type { Model } from '../../src/model.ts'
import { loadData } from '../../src/node/data.ts'
import { writeFileAtomic } from '../../src/node/files.ts'
import { findMask } from '../../src/retrain/find-mask.ts'
import { finetune } from '../../src/retrain/finetune.ts'
import { validateClasses } from '../../src/train/validate.ts'
import { zoo } from '../../src/zoo/index.ts'
import { flag, meanAndSpread, readResults, stored, trainingContext, writeResults } from '../_shared.mts'

const sets = { fashion: 'Fashion-MNIST', mnist: 'MNIST' } as const
type SetName = keyof typeof sets
const setNames = Object.keys(sets) as SetName[]
const ways = ['rotation', 'labels'] as const
const learning = { batch: 64, rate: 0.02, decay: 1e-4, crop: 1 } as const

const work = flag('work', '.coppice/experiments/self-supervised-masks')
const out = join(import.meta.dirname, 'results', 'run.json')
for (const folder of [work, dirname(out)]) mkdirSync(folder, { recursive: true })
const seeds = flag('seeds', '0,1,2').split(',').map(Number)
const sparsities = flag('sparsities', '0.95').split(',').map(Number)
const samples = Number(flag('samples', '6000'))

interface Results {
  samples: number
  /** Test accuracy in %, by data set, sparsity, mask and seed. */
  accuracy: Record<string, Record<string, Record<string, Record<string, number>>>>
}
const results: Results = { samples, accuracy: {}, ...(readResults(out) as Partial<Results>) }

const startOf = (seed: number): Model => zoo.lenet5.build({ seed, width: 0.5 })
const inputs = requiredInputs(startOf(0))
const loaded = new Map<SetName, { train: Dataset; test: Dataset }>()
for (const name of setNames) {
  const { train, test } = await loadData(flag(name), { seed: 0 })
  loaded.set(name, { train: drawSamples(train, samples, 0), test })
}
const dataOf = (name: SetName) => {
  const { train, test } = loaded.get(name) as { train: Dataset; test: Dataset }
  const batcher = batcherFor(inputs, test, guessPreprocess(inputs, test, {}))
  return { train, test, batcher }
}

/** Trains on labels under the mask that the model has, and measures. */
async function measure(
  name: SetName,
  { sparsity, mask, seed }: { sparsity: string; mask: string; seed: number },
  masked: () => Promise<Model>,
) {
  results.accuracy[name] ??= {}
  results.accuracy[name][sparsity] ??= {}
  results.accuracy[name][sparsity][mask] ??= {}
  const row = results.accuracy[name][sparsity][mask]
  if (row[seed] !== undefined) return
  const what = `${name}-${sparsity}-${mask.replaceAll(/[ ,]+/g, '-')}-${seed}`
  const trained = await finetune(
    await masked(),
    { ...learning, epochs: 5, keep: 'zeros' },
    trainingContext(dataOf(name), { seed, what, folder: work }),
  )
  const { test, batcher } = dataOf(name)
  const { accuracy } = await validateClasses(trained, test, { batcher, batchSize: 250, threads: 1 })
  row[seed] = Number((100 * accuracy).toFixed(2))
  await writeResults(out, results as unknown as Record<string, unknown>)
  await writeTable()
}

function found(name: SetName, by: (typeof ways)[number], sparsity: number, seed: number): Promise<Model> {
  const what = `mask-${name}-${by}-${sparsity}-${seed}`
  const options = { ...learning, by, sparsity, epochs: 2, rounds: 3 }
  return stored(join(work, `${what}.onnx`), () =>
    findMask(startOf(seed), options, trainingContext(dataOf(name), { seed, what, folder: work })),
  )
}

function writeTable(): Promise<void> {
  const rows = setNames.flatMap((name) =>
    Object.entries(results.accuracy[name] ?? {}).flatMap(([sparsity, masks]) =>
      Object.entries(masks).map(([mask, bySeed]) => {
        const values = Object.values(bySeed)
        return [sets[name], `${(100 * Number(sparsity)).toFixed(0)} %`, mask, meanAndSpread(values), values.length]
      }),
    ),
  )
  const lines = [
    ['trained and tested on', 'zeros', 'mask', 'test accuracy, %', 'seeds'],
    ['---', '---:', '---', '---:', '---:'],
    ...rows,
  ]
  const text = `# Masks found without labels

Made by \`npm run experiment -- self-supervised-masks --fashion fashion-mnist:DIR --mnist mnist:DIR\`. LeNet-5 of half the width; ${results.samples.toLocaleString('en')}
training images; zeros are a share of all weights but those of the last layer. Mean and standard deviation over seeds, each with its
own start, which all its masks share.

${lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}
`
  return writeFileAtomic(out.replace(/json$/, 'md'), new TextEncoder().encode(text))
}

for (const seed of seeds) {
  for (const name of setNames) {
    const other = setNames.find((n) => n !== name) as SetName
    await measure(name, { sparsity: '0', mask: 'none', seed }, async () => startOf(seed))
    for (const sparsity of sparsities) {
      const run = (mask: string, masked: () => Promise<Model>) =>
        measure(name, { sparsity: String(sparsity), mask, seed }, masked)
      for (const by of ways) {
        await run(by, () => found(name, by, sparsity, seed))
        await run(`${by}, of ${sets[other]}`, () => found(other, by, sparsity, seed))
      }
      await run('random', () => findMask(startOf(seed), { by: 'random', sparsity }, { seed }))
    }
  }
}
await writeTable()
