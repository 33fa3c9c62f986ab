/**
 * What a network needs, learnt by L0 gates (Louizos et al. 2018), variational dropout (Molchanov et al. 2017) or Bayesian groups
 * (Louizos et al. 2017): the architecture that is left of LeNet-5 or any other classifier, beside the papers'.
 *
 *   coppice train lenet5 --data mnist:DIR --epochs 12 --rate 0.02 --decay 0.0005 --crop 1 --validation 0.08333 -o mnist-lenet5.onnx
 *   npm run experiment -- learn-sparsity --model mnist-lenet5.onnx --data mnist:DIR [--by l0] [--unit input] [--strength 1]
 *     [--epochs 8] [--rate 0.003] [--batch 100] [--tune 3] [--work FOLDER]
 *
 * `learn-sparsity` from the trained network, dead units removed, then `finetune` for `tune` epochs. A twelfth of the training images
 * is held back and measured beside; the test set is met once, at the end. Writes results/NAME.json and results/table.md; a run
 * that was cut off goes on from its checkpoint.
 */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { batcherFor, requiredInputs } from '../../src/data/batcher.ts'
import { splitDataset } from '../../src/data/batches.ts'
import { dataHandle } from '../../src/data/handle.ts'
import { guessPreprocess } from '../../src/data/preprocess.ts'
import { packModel } from '../../src/formats/pack.ts'
import { weightTensors } from '../../src/graph/weights.ts'
import { inspectModel } from '../../src/inspect/inspect.ts'
import type { Model } from '../../src/model.ts'
import { checkpointFile } from '../../src/node/checkpoint-file.ts'
import { loadData } from '../../src/node/data.ts'
import { openModel, writeFileAtomic } from '../../src/node/files.ts'
import { removeDead } from '../../src/prune/remove-dead.ts'
import { count } from '../../src/report/format.ts'
import { finetune } from '../../src/retrain/finetune.ts'
import { learnSparsity } from '../../src/retrain/learn-sparsity.ts'
import { floats } from '../../src/tensor/dtype.ts'
import { validateClasses } from '../../src/train/validate.ts'
import { flag, stored, writeResults } from '../_shared.mts'

/** What the papers leave of LeNet-5: filters, filters, inputs of both dense layers, and the error in %. */
const papers = [
  ['L0, 1712.01312', '20-25-45-462', '0.9'],
  ['L0, a lambda per layer, 1712.01312', '9-18-65-25', '1.0'],
  ['Bayesian groups (normal-Jeffreys), 1705.08665', '8-13-88-13', '1.0'],
] as const

interface Result {
  readonly model: string
  readonly command: string
  /** Per layer: filters of a convolution, inputs of a dense layer, that are not all zero; as learnt, before dead units go. */
  readonly needed: readonly number[]
  /** As stored in the end. */
  readonly stored: readonly number[]
  readonly parameters: number
  readonly parametersBefore: number
  readonly macs: number | null
  readonly macsBefore: number | null
  readonly packedBytes: number
  readonly heldBackErrorPercent: number
  readonly testErrorPercent: number
  readonly testErrorPercentBefore: number
}

const number = (name: string, fallback: string): number => Number(flag(name, fallback))
const [by, unit] = [flag('by', 'l0'), flag('unit', 'input')]
const settings = {
  ...{ by, unit, strength: number('strength', '1'), epochs: number('epochs', '8') },
  ...{ rate: number('rate', '0.003'), batch: number('batch', '100'), crop: 1, validation: 0.08333 },
}
const tune = number('tune', '3')
const work = flag('work', '.coppice/experiments/learn-sparsity')
const results = join(import.meta.dirname, 'results')
for (const folder of [work, results]) mkdirSync(folder, { recursive: true })

const given = await openModel(flag('model'))
const splits = await loadData(flag('data'), { seed: 0 })
const inputs = requiredInputs(given)
const batcher = batcherFor(inputs, splits.test, guessPreprocess(inputs, splits.test, {}), given.graph.outputs)
const [, heldBack] = splitDataset(splits.train, settings.validation, 0)
const name = `${basename(flag('model'), '.onnx')}-${by}-${unit}-${settings.strength}`
const data = dataHandle({ train: splits.train, batcher }, { seed: 0 })

const context = (what: string) => ({
  data,
  seed: 0,
  checkpoint: checkpointFile(join(work, `${name}-${what}.checkpoint`)),
  progress: (done: number, text: string) => console.error(`${name} ${what}: ${(100 * done).toFixed(1)} %, ${text}`),
})
const learnt = await stored(join(work, `${name}-learnt.onnx`), () =>
  // The options are checked by their table.
  learnSparsity(given, settings as Parameters<typeof learnSparsity>[1], context('learnt')),
)
const small = await removeDead(learnt)
const tuning = {
  epochs: tune,
  rate: 0.001,
  optimizer: 'adam',
  batch: 64,
  crop: 1,
  validation: settings.validation,
} as const
const tuned = await stored(join(work, `${name}-tuned.onnx`), () => finetune(small, tuning, context('tuned')))

async function errorOf(model: Model, samples: typeof splits.test): Promise<number> {
  const { accuracy } = await validateClasses(model, samples, { batcher, batchSize: 250, threads: 1 })
  return Number((100 * (1 - accuracy)).toFixed(2))
}

/** Places along the axis of each layer's gates that have a weight that is not zero. */
function unitsOf(model: Model): number[] {
  return weightTensors(model).map(({ tensor, outputAxis = 0 }) => {
    const axis = tensor.dims.length > 2 ? outputAxis : 1 - outputAxis
    const inner = tensor.dims.slice(axis + 1).reduce((a, b) => a * b, 1)
    const alive = new Set<number>()
    for (const [i, v] of floats(tensor).entries()) if (v !== 0) alive.add(Math.floor(i / inner) % tensor.dims[axis])
    return alive.size
  })
}

const nonzero = (model: Model): number =>
  [...model.graph.initializers.values()]
    .filter((t) => t.dtype === 'float32')
    .reduce((n, t) => n + floats(t).reduce((m, v) => m + (v === 0 ? 0 : 1), 0), 0)

const result: Result = {
  model: basename(flag('model')),
  command: `npm run experiment -- learn-sparsity --model ${basename(flag('model'))} --data ${flag('data').replace(/:.*/, ':DIR')} --by ${by} --unit ${unit} --strength ${settings.strength} --epochs ${settings.epochs} --rate ${settings.rate} --batch ${settings.batch} --tune ${tune}`,
  needed: unitsOf(learnt),
  stored: unitsOf(tuned),
  parameters: nonzero(tuned),
  parametersBefore: nonzero(given),
  macs: inspectModel(tuned).totals.macs,
  macsBefore: inspectModel(given).totals.macs,
  packedBytes: packModel(tuned).byteLength,
  heldBackErrorPercent: await errorOf(tuned, heldBack),
  testErrorPercent: await errorOf(tuned, splits.test),
  testErrorPercentBefore: await errorOf(given, splits.test),
}
await writeResults(join(results, `${name}.json`), result as unknown as Record<string, unknown>)
const head = [
  'network',
  'units needed',
  'units stored',
  'parameters',
  'multiply-adds',
  'packed bytes',
  'held back',
  'test',
]
const rows = readdirSync(results)
  .filter((f) => f.endsWith('.json'))
  .map((f) => ({ f, r: JSON.parse(readFileSync(join(results, f), 'utf8')) as Result }))
const table = [
  head,
  head.map((_, i) => (i === 0 ? '---' : '---:')),
  ...papers.map(([what, units, error]) => [what, units, '', '', '', '', '', error]),
  ...rows.map(({ f, r }) => [
    f.replace('.json', ''),
    r.needed.join('-'),
    r.stored.join('-'),
    `${count(r.parametersBefore)} → ${count(r.parameters)}`,
    `${count(r.macsBefore ?? 0)} → ${count(r.macs ?? 0)}`,
    count(r.packedBytes),
    r.heldBackErrorPercent.toFixed(2),
    `${r.testErrorPercent.toFixed(2)} (before: ${r.testErrorPercentBefore.toFixed(2)})`,
  ]),
]
const text = `# What networks need

Units are filters of convolutions and inputs of dense layers, layer by layer, of which something is left: when training with gates
ends, and in the network that is stored, once dead units are gone. Errors in %; each JSON file has its command.

${table.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}
`
await writeFileAtomic(join(results, 'table.md'), new TextEncoder().encode(text))
