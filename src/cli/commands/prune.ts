/** `coppice prune`: pruning, at once or in rounds with training between, then removal of dead units, then the test set. */
import { splitDataset } from '../../data/batches.ts'
import { fedBatches } from '../../evaluate/accuracy.ts'
import { packModel } from '../../formats/pack.ts'
import { weightTensors } from '../../graph/weights.ts'
import type { LabelledFeeds } from '../../method.ts'
import type { Model } from '../../model.ts'
import { openModel, saveModel, writeFileAtomic } from '../../node/files.ts'
import { type PruneRound, pruneAndTrain, pruneSchedules, pruneScores } from '../../prune/prune-and-train.ts'
import { removeDead } from '../../prune/remove-dead.ts'
import { bytes, count, percent } from '../../report/format.ts'
import { floats, isFloat, sizeOf } from '../../tensor/dtype.ts'
import { validate } from '../../train/validate.ts'
import { bindData, seedOf } from '../data-options.ts'
import { type Io, numberOption } from '../io.ts'
import { checkOutputs } from '../outputs.ts'
import { checkBatch, readTrainFlags, tell } from '../train-model.ts'
import type { TrainFlags } from '../train-options.ts'
import { readScan } from './scan.ts'

export interface PruneFlags extends TrainFlags {
  readonly sparsity: string
  readonly scope: string
  readonly score: string
  readonly unit: string
  readonly rounds: string
  readonly pruning: string
  readonly finalEpochs?: string
  readonly restart?: boolean
  readonly scan?: string
  readonly exclude?: string
  /** false with --no-shrink. */
  readonly shrink: boolean
}

interface Size {
  /** Elements of all float tensors. */
  readonly parameters: number
  /** Of those, weights that are not zero and everything that is no weight. */
  readonly nonzero: number
  readonly packed: number
}

export async function runPrune(path: string, flags: PruneFlags, io: Io, signal: AbortSignal): Promise<void> {
  checkOutputs([path], [flags.output, flags.history, flags.checkpoint])
  const model = openModel(path)
  const data = await bindData(model, flags, io, signal)
  const epochs = numberOption(flags.epochs, '--epochs', { min: 0, max: 1e6, integer: true })
  if (!data && epochs > 0) throw new Error('prune: there is no data to train on; expected --data SPEC, or --epochs 0')
  const seed = seedOf(flags)
  const choices = readChoices(flags)
  if (!data && (choices.score === 'taylor' || choices.score === 'obd'))
    throw new Error(`prune: score ${choices.score} needs data; expected --data SPEC`)
  const share = numberOption(flags.validation, '--validation', { min: 0, max: 0.9 })
  const [training, heldBack] = data && share > 0 ? splitDataset(data.splits.train, share, seed) : [data?.splits.train]
  const options = data && epochs > 0 ? await readTrainFlags(flags, io) : undefined
  if (data && options) checkBatch(flags, data.batcher)
  const shared = options &&
    data && {
      ...options,
      batcher: data.batcher,
      ...(heldBack ? { validation: heldBack } : {}),
      signal,
      onProgress: (p: Parameters<typeof tell>[0]) => tell(p, io),
    }
  const rounds: PruneRound[] = []
  const labelled = function* (): Generator<LabelledFeeds> {
    if (!data || !training) return
    for (const { feeds, indices } of fedBatches(data.batcher, training, 64)) {
      yield { feeds, labels: indices.map((i) => (training.labels as Int32Array)[i]) }
    }
  }
  const finalEpochs =
    flags.finalEpochs === undefined
      ? undefined
      : numberOption(flags.finalEpochs, '--final-epochs', { min: 1, max: 1e6, integer: true })
  const pruned = await pruneAndTrain(model, training ?? { id: 'nothing', length: 0, fields: {} }, {
    ...choices,
    ...(shared ? { training: shared } : {}),
    ...(shared && finalEpochs ? { finalTraining: { ...shared, epochs: finalEpochs } } : {}),
    ...(options?.checkpoint ? { checkpoint: options.checkpoint.store } : {}),
    context: { seed, labelled, signal, warn: (message) => io.say(`warning: ${message}`) },
    onRound: (round) => {
      rounds.push(round)
      io.say(`round ${round.round} of ${round.rounds}: ${percent(round.sparsity)} of the weights are zero`)
    },
  })
  const result = flags.shrink ? await removeDead(pruned) : pruned
  const test = data?.splits.test.labels ? data.splits.test : undefined
  const measure = async (m: Model): Promise<number | undefined> =>
    test && data
      ? (
          await validate(m, test, {
            batcher: data.batcher,
            batchSize: data.batcher.batchSize ?? 100,
            threads: options?.threads,
          })
        ).accuracy
      : undefined
  const [before, after] = [await measure(model), await measure(result)]
  await saveModel(flags.output, result)
  const report = {
    model: flags.output,
    rounds,
    before: sizeOfModel(model),
    after: sizeOfModel(result),
    ...(test ? { test: { samples: test.length, before, after } } : {}),
  }
  if (flags.history)
    await writeFileAtomic(flags.history, new TextEncoder().encode(`${JSON.stringify(report, null, 2)}\n`))
  io.finish()
  io.result(describe(report), report)
}

function readChoices(flags: PruneFlags) {
  const pick = <T extends string>(name: string, value: string, of: readonly T[]): T => {
    if (!of.includes(value as T)) throw new Error(`--${name}: "${value}"; expected ${of.join(', ')}`)
    return value as T
  }
  const sparsities = flags.scan
    ? Object.fromEntries(
        readScan(flags.scan)
          .curves.filter((c) => c.recommended > 0)
          .map((c) => [c.name, c.recommended]),
      )
    : undefined
  if (sparsities && Object.keys(sparsities).length === 0)
    throw new Error(`${flags.scan}: it recommends no sparsity above 0; expected a larger --max-loss in the scan`)
  return {
    sparsity: numberOption(flags.sparsity, '--sparsity', { min: 0, max: 1 }),
    ...(sparsities ? { sparsities } : {}),
    scope: pick('scope', flags.scope, ['layer', 'global']),
    score: pick('score', flags.score, pruneScores),
    unit: pick('unit', flags.unit, ['element', 'filter']),
    schedule: pick('pruning', flags.pruning, pruneSchedules),
    rounds: numberOption(flags.rounds, '--rounds', { min: 1, max: 1e6, integer: true }),
    restart: flags.restart === true,
    exclude: flags.exclude ? flags.exclude.split(',') : [],
  }
}

function sizeOfModel(model: Model): Size {
  const weights = new Set(weightTensors(model).map((w) => w.tensor))
  let parameters = 0
  for (const t of model.graph.initializers.values()) if (isFloat(t.dtype)) parameters += sizeOf(t.dims)
  let zeros = 0
  for (const t of weights) for (const v of floats(t)) if (v === 0) zeros++
  return { parameters, nonzero: parameters - zeros, packed: packModel(model).byteLength }
}

interface PruneReport {
  readonly model: string
  readonly before: Size
  readonly after: Size
  readonly test?: { readonly samples: number; readonly before?: number; readonly after?: number }
}

function describe({ model, before, after, test }: PruneReport): string {
  return [
    `parameters ${count(before.nonzero)} to ${count(after.nonzero)} that are not zero (${(before.nonzero / after.nonzero).toFixed(1)} x fewer), ${count(after.parameters)} stored`,
    `packed ${bytes(before.packed)} to ${bytes(after.packed)} bytes`,
    ...(test?.before !== undefined && test.after !== undefined
      ? [`top-1 ${percent(test.after)} on ${count(test.samples)} test samples (before: ${percent(test.before)})`]
      : []),
    `wrote ${model}`,
  ].join('\n')
}
