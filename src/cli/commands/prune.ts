/** `coppice prune`: pruning, at once or in rounds with training between, then removal of dead units, then the test set. */

import { packModel } from '../../formats/pack.ts'
import { tensorsOf } from '../../graph/walk.ts'
import type { Model } from '../../model.ts'
import { saveModel, writeFileAtomic } from '../../node/files.ts'
import { readScan } from '../../node/scan-file.ts'
import { modelFingerprint } from '../../onnx/fingerprint.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { type PruneOptions, type PruneRound, pruneAndTrain } from '../../prune/prune-and-train.ts'
import { removeDead } from '../../prune/remove-dead.ts'
import { expandGrids } from '../../quantize/compact.ts'
import { bytes, count, countChange, percent, sizeDifference } from '../../report/format.ts'
import { describeTest, type TestScore } from '../../report/train-report.ts'
import { pruneChoices, pruneChoicesOf } from '../../retrain/prune-in-rounds.ts'
import { answeredHandle } from '../../task/unanswered.ts'
import { dataTypes, floats, isFloat, sizeOf } from '../../tensor/dtype.ts'
import { halvesOf, trainOptionsOf } from '../../train/learning.ts'
import { defineCommand, type Invocation } from '../command.ts'
import { asGiven, bindData, shapedModel } from '../data-options.ts'
import { flagOf } from '../flags.ts'
import { openToWork } from '../inputs.ts'
import type { Io } from '../io.ts'
import { readTrainFlags, taskOf, tell, testScore } from '../train-model.ts'
import { trainOptions } from '../train-options.ts'

const options = {
  ...trainOptions({ epochs: 1, rate: 0.01, leastEpochs: 0 }),
  ...pruneChoices,
  scan: {
    type: 'string',
    optional: true,
    value: 'file',
    help: "a scan's file: each tensor is pruned as it recommends, instead of --sparsity",
  },
  shrink: { type: 'boolean', default: true, help: 'remove dead units: tensors keep their shapes' },
} as const satisfies OptionTable

export type PruneFlags = OptionsOf<typeof options>

export const pruneCommand = defineCommand({
  arguments: '<model>',
  options,
  run: ([path], given, invocation) => runPrune(path, given, invocation),
})

/** The most samples that a score looks at, unless its options say. */
const scoring = { samples: 1024, batchSize: 64 }

interface Size {
  /** Elements of all float tensors. */
  readonly parameters: number
  /** Of those, what is not zero. */
  readonly nonzero: number
  readonly packed: number
}

async function runPrune(path: string, flags: PruneFlags, invocation: Invocation): Promise<void> {
  const { io, signal } = invocation
  const files = {
    inputs: flags.scan ? [flags.scan] : [],
    outputs: [flags.output, flags.history, flags.checkpoint],
  }
  const original = expandGrids(openToWork(path, files))
  const model = shapedModel(original, flags)
  const data = await bindData(model, flags, io, signal)
  const { epochs, seed, finalEpochs } = flags
  if (!data && epochs > 0) throw new Error('prune: there is no data to train on; expected --data SPEC, or --epochs 0')
  const choices = readChoices(flags, original, io)
  if (!data && ['taylor', 'obd', 'obs'].includes(flags.score))
    throw new Error(`prune: score ${flags.score} needs data; expected --data SPEC`)
  const trains = data !== undefined && epochs > 0
  // Wrong words are told of also where nothing is trained.
  trainOptionsOf(flags, flagOf)
  const options = trains ? await readTrainFlags(flags, io) : undefined
  const unread = (['finalEpochs', 'checkpoint', 'restart'] as const).find(
    (name) => !trains && flags[name] !== undefined && flags[name] !== false,
  )
  if (unread)
    throw new Error(
      `--${unread === 'finalEpochs' ? 'final-epochs' : unread}: nothing is trained; expected --epochs above 0 with it`,
    )
  const { training, heldBack } = data ? halvesOf(data.splits.train, flags, seed) : {}
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
  const { warn } = io
  const rounds: PruneRound[] = []
  const pruned = await pruneAndTrain(model, training ?? { id: 'nothing', length: 0, fields: {} }, {
    ...choices,
    ...(shared ? { training: shared } : {}),
    ...(shared && finalEpochs ? { finalTraining: { ...shared, epochs: finalEpochs } } : {}),
    ...(options?.checkpoint ? { checkpoint: options.checkpoint.store } : {}),
    context: {
      ...(data && training
        ? {
            data: await answeredHandle(
              model,
              { ...data, splits: { ...data.splits, train: training } },
              { seed, usual: scoring, signal, warn },
            ),
          }
        : {}),
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
  const tested = data && (await testScore(data, [model, result], { threads: flags.threads, task }))
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

/** How to prune: the shares are those of a scan, where one is given. */
function readChoices(flags: PruneFlags, model: Model, io: Io): PruneOptions {
  const { scan, unit, ...choices } = flags
  const named = Object.keys(choices.sparsities).length > 0
  const ways = [
    ...(['sparsity', 'quality'] as const).filter((name) => flags[name] !== undefined),
    ...(named ? ['sparsities'] : []),
  ]
  if (scan !== undefined && ways.length > 0)
    throw new Error(`--scan: --${ways[0]} is given too; expected one of --sparsity, --scan and --quality`)
  const sparsities = scan === undefined ? choices.sparsities : sharesOf(scan, { unit, model, io })
  return pruneChoicesOf({ ...choices, unit, sparsities }, flagOf)
}

/** The share for each tensor that a scan recommends. */
function sharesOf(
  path: string,
  { unit, model, io }: { unit: 'element' | 'filter'; model: Model; io: Io },
): Record<string, number> {
  const scan = readScan(path)
  if (scan.crc !== modelFingerprint(model))
    io.say(`note: ${path} is a scan of ${scan.model} with other weights: what it recommends may not hold here`)
  if (!scan.complete)
    throw new Error(`${path}: the scan has not ended; expected the file of one that has (coppice scan resumes from it)`)
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
