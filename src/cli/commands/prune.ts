/** `coppice prune`: pruning, at once or in rounds with training between, then removal of dead units, then the test set. */
import type { BoundBatcher } from '../../data/batcher.ts'
import { splitDataset, subset } from '../../data/batches.ts'
import type { Dataset } from '../../data/dataset.ts'
import { type FedBatch, fedBatches } from '../../data/fed-batches.ts'
import { crc32 } from '../../formats/checksum.ts'
import { packModel } from '../../formats/pack.ts'
import { tensorsOf } from '../../graph/walk.ts'
import type { Context } from '../../method.ts'
import type { Model } from '../../model.ts'
import { saveModel, writeFileAtomic } from '../../node/files.ts'
import { writeModel } from '../../onnx/write.ts'
import { type PruneRound, pruneAndTrain, pruneSchedules, pruneScores } from '../../prune/prune-and-train.ts'
import { removeDead } from '../../prune/remove-dead.ts'
import { expandGrids } from '../../quantize/compact.ts'
import { bytes, count, countChange, percent, sizeDifference } from '../../report/format.ts'
import { describeTest, type TestScore } from '../../report/train-report.ts'
import { dataTypes, floats, isFloat, sizeOf } from '../../tensor/dtype.ts'
import { permutation, random } from '../../tensor/random.ts'
import { asGiven, bindData, seedOf, shapedModel } from '../data-options.ts'
import { openToWork } from '../inputs.ts'
import { type Io, numberOption } from '../io.ts'
import { checkBatch, readLength, readTrainFlags, taskOf, tell, testScore } from '../train-model.ts'
import type { TrainFlags } from '../train-options.ts'
import { readScan } from './scan.ts'

export interface PruneFlags extends TrainFlags {
  readonly sparsity?: string
  readonly quality?: string
  readonly scope: string
  readonly score: string
  readonly diagonal?: string
  readonly unit: string
  readonly rounds?: string
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
  /** Of those, what is not zero. */
  readonly nonzero: number
  readonly packed: number
}

export async function runPrune(path: string, flags: PruneFlags, io: Io, signal: AbortSignal): Promise<void> {
  const files = {
    inputs: flags.scan ? [flags.scan] : [],
    outputs: [flags.output, flags.history, flags.checkpoint],
  }
  const original = expandGrids(openToWork(path, files))
  const model = shapedModel(original, flags)
  const data = await bindData(model, flags, io, signal)
  const epochs = numberOption(flags.epochs, '--epochs', { min: 0, max: 1e6, integer: true })
  if (!data && epochs > 0) throw new Error('prune: there is no data to train on; expected --data SPEC, or --epochs 0')
  const seed = seedOf(flags)
  const choices = readChoices(flags, original, io)
  if (!data && ['taylor', 'obd', 'obs'].includes(choices.score))
    throw new Error(`prune: score ${choices.score} needs data; expected --data SPEC`)
  const share = numberOption(flags.validation, '--validation', { min: 0, max: 0.9 })
  const [training, heldBack] = data && share > 0 ? splitDataset(data.splits.train, share, seed) : [data?.splits.train]
  const trains = data !== undefined && epochs > 0
  const given = readTrainFlags(flags)
  const options = trains ? { ...given, ...(await readLength(flags, io)) } : undefined
  const unread = (['finalEpochs', 'checkpoint', 'restart'] as const).find(
    (name) => !trains && flags[name] !== undefined,
  )
  if (unread)
    throw new Error(
      `--${unread === 'finalEpochs' ? 'final-epochs' : unread}: nothing is trained; expected --epochs above 0 with it`,
    )
  if (data && options) checkBatch(flags, data.batcher)
  const task = data && taskOf(model, data.splits.train, flags)
  const shared = options &&
    data && {
      ...options,
      batcher: data.batcher,
      task,
      ...(heldBack ? { validation: heldBack } : {}),
      signal,
      onProgress: (p: Parameters<typeof tell>[0]) => tell(p, io),
    }
  const warn = (message: string): void => io.say(`warning: ${message}`)
  const rounds: PruneRound[] = []
  const finalEpochs =
    flags.finalEpochs === undefined
      ? undefined
      : numberOption(flags.finalEpochs, '--final-epochs', { min: 1, max: 1e6, integer: true })
  const pruned = await pruneAndTrain(model, training ?? { id: 'nothing', length: 0, fields: {} }, {
    ...choices,
    ...(shared ? { training: shared } : {}),
    ...(shared && finalEpochs ? { finalTraining: { ...shared, epochs: finalEpochs } } : {}),
    ...(options?.checkpoint ? { checkpoint: options.checkpoint.store } : {}),
    context: {
      ...(data && training ? scoringData(data.batcher, training, seed) : {}),
      seed,
      signal,
      warn,
    },
    onRound: (round) => {
      rounds.push(round)
      io.say(`round ${round.round} of ${round.rounds}: ${percent(round.sparsity)} of the weights are zero`)
    },
  })
  const result = flags.shrink ? await removeDead(pruned, {}, { warn }) : pruned
  const tested = data && (await testScore(data, [model, result], { threads: given.threads, task }))
  await saveModel(flags.output, asGiven(result, original))
  const report = {
    model: flags.output,
    rounds,
    before: sizeOfModel(model),
    after: sizeOfModel(result),
    ...(tested ? { test: tested } : {}),
  }
  if (flags.history)
    await writeFileAtomic(flags.history, new TextEncoder().encode(`${JSON.stringify(report, null, 2)}\n`))
  io.finish()
  io.result(describe(report), report)
}

/** The most samples that a score looks at. */
const scoringSamples = 1024

/** What scores are told of the data. Samples are drawn: a set may come class by class, as a folder of images does. */
function scoringData(batcher: BoundBatcher, training: Dataset, seed: number): Context {
  const drawn = subset(training, permutation(training.length, random(seed)).subarray(0, scoringSamples))
  const { labels } = drawn
  const batches = (): Generator<FedBatch> => fedBatches(batcher, drawn, 64)
  return {
    *calibration() {
      for (const { feeds } of batches()) yield feeds
    },
    ...(labels && {
      *labelled() {
        if (drawn.length < (batcher.batchSize ?? 1))
          throw new Error(
            `${training.id}: ${drawn.length} samples; expected at least ${batcher.batchSize}, which the model takes per call`,
          )
        for (const { feeds, indices } of batches()) yield { feeds, labels: indices.map((i) => labels[i]) }
      },
    }),
  }
}

function readChoices(flags: PruneFlags, model: Model, io: Io) {
  const pick = <T extends string>(name: string, value: string, of: readonly T[]): T => {
    if (!of.includes(value as T)) throw new Error(`--${name}: "${value}"; expected ${of.join(', ')}`)
    return value as T
  }
  const unit = pick('unit', flags.unit, ['element', 'filter'])
  const ways = (['sparsity', 'scan', 'quality'] as const).filter((name) => flags[name] !== undefined)
  if (ways.length > 1)
    throw new Error(`--${ways[1]}: --${ways[0]} is given too; expected one of --sparsity, --scan and --quality`)
  const schedule = pick('pruning', flags.pruning, pruneSchedules)
  if (schedule === 'one-shot' && Number(flags.rounds ?? 1) !== 1)
    throw new Error(
      `--rounds: "${flags.rounds}" with one-shot pruning, which takes one; expected --pruning iterative or gradual with it`,
    )
  return {
    sparsity: numberOption(flags.sparsity ?? '0.5', '--sparsity', { min: 0, max: 1 }),
    ...(flags.scan === undefined ? {} : { sparsities: sharesOf(flags.scan, { unit, model, io }) }),
    ...(flags.quality === undefined ? {} : { quality: numberOption(flags.quality, '--quality', { min: 0, max: 100 }) }),
    scope: pick('scope', flags.scope, ['layer', 'global']),
    score: pick('score', flags.score, pruneScores),
    ...(flags.diagonal === undefined ? {} : { diagonal: pick('diagonal', flags.diagonal, ['fisher', 'hessian']) }),
    unit,
    schedule,
    rounds: numberOption(flags.rounds ?? '5', '--rounds', { min: 1, max: 1e6, integer: true }),
    restart: flags.restart === true,
    exclude: flags.exclude ? flags.exclude.split(',') : [],
  }
}

/** The share for each tensor that a scan recommends. */
function sharesOf(
  path: string,
  { unit, model, io }: { unit: 'element' | 'filter'; model: Model; io: Io },
): Record<string, number> {
  const scan = readScan(path)
  if (scan.crc !== crc32(writeModel(model)))
    io.say(`note: ${path} is a scan of ${scan.model} with other weights: what it recommends may not hold here`)
  if (!scan.complete)
    throw new Error(`${path}: the scan has not ended; expected the file of one that has (coppice scan goes on from it)`)
  if (scan.unit !== unit)
    throw new Error(`${path}: it is a scan of unit ${scan.unit}, not ${unit}; expected --unit ${scan.unit} with it`)
  const recommended = scan.curves.filter((c) => c.recommended > 0)
  if (recommended.length === 0)
    throw new Error(`${path}: it recommends no sparsity above 0; expected a larger --max-loss in the scan`)
  return Object.fromEntries(recommended.map((c) => [c.name, c.recommended]))
}

function sizeOfModel(model: Model): Size {
  // Wherever they are stored: weights may be Constant nodes or lie in nested graphs.
  const stored = new Set(Array.from(tensorsOf(model), ({ tensor }) => tensor))
  let [parameters, nonzero] = [0, 0]
  for (const t of stored) {
    if (!isFloat(t.dtype)) continue
    const size = sizeOf(t.dims)
    parameters += size
    // Floats of 8 bits and fewer are not read.
    nonzero += dataTypes[t.dtype].bits < 16 ? size : floats(t).reduce((n, v) => n + (v === 0 ? 0 : 1), 0)
  }
  return { parameters, nonzero, packed: packModel(model).byteLength }
}

interface PruneReport {
  readonly model: string
  readonly before: Size
  readonly after: Size
  readonly test?: TestScore
}

function describe({ model, before, after, test }: PruneReport): string {
  return [
    `parameters that are not zero: ${count(before.nonzero)} before, ${count(after.nonzero)} after${after.nonzero > 0 ? ` (${countChange(before.nonzero, after.nonzero) || 'the same'})` : ''}; ${count(after.parameters)} stored`,
    `packed bytes: ${bytes(before.packed)} before, ${bytes(after.packed)} after (${sizeDifference(before.packed, after.packed).join(' ')})`,
    ...(test ? [describeTest(test)] : []),
    `wrote ${model}`,
  ].join('\n')
}
