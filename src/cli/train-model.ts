/** What `coppice train` and `coppice finetune` share: a run from data spec to written model. */

import type { Dataset } from '../data/dataset.ts'
import type { BoundData } from '../data/handle.ts'
import { inspectModel } from '../inspect/inspect.ts'
import type { Model } from '../model.ts'
import { checkpointFile } from '../node/checkpoint-file.ts'
import { environment } from '../node/environment.ts'
import { saveModel, writeFileAtomic } from '../node/files.ts'
import { count, percent } from '../report/format.ts'
import { renderTraining } from '../report/train-html.ts'
import { curveRecorder, describeTest, measures, type TestScore, type TrainReport } from '../report/train-report.ts'
import { keeping } from '../retrain/finetune.ts'
import { guessTask } from '../task/guess.ts'
import { parseTask, type Task } from '../task/task.ts'
import { answeredSamples } from '../task/unanswered.ts'
import { engineOf, halvesOf, trainOptionsOf } from '../train/learning.ts'
import { objectiveOf } from '../train/objective.ts'
import type { Regime } from '../train/regime.ts'
import { shareOver } from '../train/stages.ts'
import { train } from '../train/train.ts'
import type { Progress, TrainOptions } from '../train/train-options.ts'
import { scoreOf, validate } from '../train/validate.ts'
import type { Invocation } from './command.ts'
import { asGiven, bindData, shapedModel } from './data-options.ts'
import { withoutFolders } from './facts.ts'
import { flagOf } from './flags.ts'
import type { Io } from './io.ts'
import type { TrainChoices, TrainFlags } from './train-options.ts'

export interface TrainSource {
  readonly name: string
  readonly model: Model
  /** Beside what the flags say. */
  readonly regimes?: readonly Regime[]
}

/** The files that training writes. */
export function writtenBy({ output, history, report, checkpoint }: TrainFlags & TrainChoices): (string | undefined)[] {
  return [output, history, report, checkpoint]
}

/** Trains a model on the flags' data, writes it, and reports accuracy on the test set before and after. */
export async function trainModel(
  { name, model: original, regimes = [] }: TrainSource,
  flags: TrainFlags & TrainChoices,
  { io, signal }: Invocation,
): Promise<TrainReport> {
  const { output, history, report: page } = flags
  const model = shapedModel(original, flags)
  const options = await readTrainFlags(flags, io)
  for (const note of flags.keep && flags.keep !== 'none' ? sayZeros(model) : []) io.say(`note: ${note}`)
  const data = await bindData(model, flags, io, signal)
  if (!data) throw new Error('train: there is no data; expected --data SPEC')
  const { batcher, splits } = data
  const { seed } = flags
  const { training, heldBack } = halvesOf(splits.train, flags, seed)
  const { curve, add } = curveRecorder()
  const task = taskOf(model, training, flags)
  const start = performance.now()
  const result = await train(model, training, {
    ...options,
    regimes: [...(options.regimes ?? []), ...regimes],
    batcher,
    task,
    ...(heldBack ? { validation: heldBack } : {}),
    signal,
    onProgress: (p) => {
      add(p)
      tell(p, io)
    },
    warn: io.warn,
  })
  const seconds = (performance.now() - start) / 1000
  // The model of before too is measured only now: what cannot be trained is reported at once.
  const test = await testScore(data, [model, result.model], { ...options, task })
  const report: TrainReport = {
    model: output,
    made: new Date().toISOString(),
    epochs: result.history.length,
    epoch: result.epoch,
    engine: result.engine,
    seconds,
    history: result.history,
    curve,
    ...(test ? { test } : {}),
    options: givenOptions(flags),
    environment: environment(),
  }
  await saveModel(output, asGiven(result.model, original))
  const text = (value: string): Uint8Array => new TextEncoder().encode(value)
  if (history) await writeFileAtomic(history, text(`${JSON.stringify(report, null, 2)}\n`))
  if (page) {
    const shown = withoutFolders({ title: `${name}, trained on ${training.id}`, report }, data.spec.data)
    await writeFileAtomic(page, text(renderTraining(shown.title, shown.report)))
  }
  io.finish()
  io.result(describe(report, [output, history, page]), report)
  return report
}

/** The task that the flags tell; undefined where it is to be guessed. */
export function taskOf(model: Model, dataset: Dataset, { task }: Pick<TrainFlags, 'task'>): Task | undefined {
  return task === undefined ? undefined : parseTask(task, guessTask(model, { dataset }), model)
}

/** Scores of a model before and after on the whole test set; undefined where that has neither labels nor targets. */
export async function testScore(
  { splits: { test }, batcher }: BoundData,
  [before, after]: readonly [Model, Model],
  { batchSize = batcher.batchSize ?? 100, threads, task }: Partial<TrainOptions>,
): Promise<TestScore | undefined> {
  if (!test.labels && !test.targets) return undefined
  const measure = measures[objectiveOf(before, test, task).kind]
  // Of numbers there is no error where the model gives none; a decision that it does not make is wrong.
  const scored =
    measure === 'RMS error' ? (await answeredSamples(before, { batcher, dataset: test, batchSize })).dataset : test
  const score = async (model: Model): Promise<number> =>
    scoreOf(await validate(model, scored, { batcher, batchSize, threads, task }))
  return { samples: scored.length, measure, before: await score(before), after: await score(after) }
}

/** What keeping zeros means for this model; nothing where no weight is zero. */
function sayZeros(model: Model): string[] {
  const layers = inspectModel(model).layers.filter((l) => l.sparsity !== null && l.params > 0)
  const zeros = layers.reduce((sum, l) => sum + Math.round((l.sparsity ?? 0) * l.params), 0)
  if (zeros === 0) return []
  const all = layers.reduce((sum, l) => sum + l.params, 0)
  const empty = layers.filter((l) => l.sparsity === 1).map((l) => `"${l.name}"`)
  return [
    `${count(zeros)} of ${count(all)} weights are zero and stay zero; --keep none trains them too`,
    ...(empty.length > 0 ? [`all weights of ${empty.join(', ')} are zero, so nothing is learnt there`] : []),
  ]
}

/** The options as the command line takes them: files left out, and switches that are off. */
function givenOptions(flags: object): Record<string, string> {
  const left = new Set(['output', 'history', 'report', 'checkpoint', 'freezeStatistics', 'preprocessCheck'])
  const given = Object.entries(flags).filter(
    ([name, value]) => !left.has(name) && value !== undefined && value !== false && String(value) !== '',
  )
  return Object.fromEntries(given.map(([name, value]) => [flagOf(name).slice(2), value === true ? '' : String(value)]))
}

function describe({ epochs, test, history }: TrainReport, files: readonly (string | undefined)[]): string {
  const last = history[history.length - 1]
  const lines = [`${epochs} epoch${epochs === 1 ? '' : 's'}, training loss ${last.loss.toFixed(4)}`]
  if (test) lines.push(describeTest(test))
  return [...lines, ...files.flatMap((file) => (file ? `wrote ${file}` : []))].join('\n')
}

export function tell(p: Progress, io: Io): void {
  const accuracy = p.accuracy === undefined ? '' : `, accuracy ${percent(p.accuracy)}`
  const what = `epoch ${p.epoch + 1}/${p.epochs}: loss ${p.loss.toFixed(4)}${accuracy}, ${count(Math.round(p.samplesPerSecond))} samples/s`
  io.progress(shareOver(p), what)
  const { finished } = p
  if (!finished) return
  const { validation } = finished
  const held = validation
    ? `; held back: loss ${validation.loss.toFixed(4)}${validation.accuracy === undefined ? '' : `, accuracy ${percent(validation.accuracy)}`}`
    : ''
  io.milestone(`${what}${held}`, { event: 'epoch', ...finished })
}

/** What the loop takes for a command's flags, with the engine that they name. */
export async function readTrainFlags(flags: TrainFlags & TrainChoices, io: Io): Promise<Omit<TrainOptions, 'batcher'>> {
  const { keep = 'none', sharedStep = 'mean', seed, threads, freezeStatistics: frozenStatistics, checkpoint } = flags
  return {
    ...trainOptionsOf(flags, flagOf),
    engine: await engineOf(flags, io.say),
    seed,
    threads,
    frozenStatistics,
    regimes: keeping(keep, sharedStep),
    ...(checkpoint ? { checkpoint: { store: checkpointFile(checkpoint) } } : {}),
  }
}
