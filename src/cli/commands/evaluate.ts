/** `coppice evaluate`: accuracy on labelled data, agreement with a reference, latency, sizes. */
import { basename } from 'node:path'
import { fedBatches } from '../../data/fed-batches.ts'
import type { BoundData } from '../../data/handle.ts'
import { evaluateAnswers } from '../../evaluate/accuracy.ts'
import { compareModels, latencyOf, oneCall } from '../../evaluate/compare.ts'
import { dataWarnings } from '../../evaluate/data-warnings.ts'
import type { Spread } from '../../evaluate/latency.ts'
import { redraw } from '../../evaluate/random-draws.ts'
import { measureSizes } from '../../evaluate/size.ts'
import { packModel } from '../../formats/pack.ts'
import type { Feeds } from '../../method.ts'
import type { Model } from '../../model.ts'
import { compressors } from '../../node/compress.ts'
import { environment } from '../../node/environment.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { count, milliseconds, percent } from '../../report/format.ts'
import { inputFacts } from '../../report/input-facts.ts'
import type { Report } from '../../report/report.ts'
import { renderText } from '../../report/text.ts'
import { openSession, withSession } from '../../runtime/session.ts'
import { drawsRandom } from '../../simplify/remarks.ts'
import type { AnswerScore } from '../../task/answer-tally.ts'
import { chanceWarnings } from '../../task/chance.ts'
import { judgedModel } from '../../task/judged-model.ts'
import { parseMaxLoss } from '../../task/max-loss.ts'
import { answersInWords, outputsInWords } from '../../task/misfit.ts'
import { resolveTask } from '../../task/resolve-task.ts'
import { accuracyInWords, describeTask, labelledOutput, type OutputKind, type Task } from '../../task/task.ts'
import {
  compareSizesOption,
  defineCommand,
  type Invocation,
  latencyOption,
  taskOption,
  threadsOption,
} from '../command.ts'
import { bindData, dataOptions, shapedModel } from '../data-options.ts'
import { withoutFolders } from '../facts.ts'
import { openAny } from '../inputs.ts'
import type { Io } from '../io.ts'

const options = {
  ...dataOptions,
  against: {
    type: 'string',
    optional: true,
    value: 'reference',
    help: 'a model to compare with, side by side',
  },
  ...taskOption,
  ...latencyOption,
  ...compareSizesOption,
  ...threadsOption,
} as const satisfies OptionTable

export const evaluateCommand = defineCommand({
  arguments: '<model>',
  options,
  run: ([path], given, invocation) => runEvaluate(path, given, invocation),
})

async function runEvaluate(path: string, flags: OptionsOf<typeof options>, { io, signal }: Invocation): Promise<void> {
  const { seed } = flags
  const { model: original, onnx } = openAny(path)
  const model = shapedModel(original, flags)
  const packedBytes = packModel(original).byteLength
  // What measures also compares ways of feeding images.
  const data = await bindData(model, { ...flags, preprocessCheck: false }, io, signal)
  const task = data && (await taskOf(model, { data, told: flags.task }))
  for (const sentence of task ? describeTask(task) : []) io.say(`note: ${sentence}`)
  const drawn = await drawWarnings(model, { data, task, signal })
  for (const warning of drawn) io.warn(warning)
  const { preprocessCheck } = flags
  const told = { seed, signal, preprocessCheck, warn: io.warn }
  const shared = {
    ...told,
    data,
    task,
    progress: io.progress,
    skipLatency: !flags.latency,
    ...(flags.compareSizes ? { compressors } : {}),
  }
  if (flags.against) {
    const reference = openAny(flags.against)
    const { trial, ...comparison } = await compareModels(
      {
        name: basename(flags.against),
        ...reference,
        model: shapedModel(reference.model, flags),
        packedBytes: packModel(reference.model).byteLength,
      },
      { name: basename(path), model, onnx, packedBytes },
      shared,
    )
    const report: Report = withoutFolders<Report>(
      {
        title: `${basename(path)} against ${basename(flags.against)}`,
        made: new Date().toISOString(),
        input: inputFacts(model, { data, seed, threads: flags.threads }),
        ...comparison,
        warnings: [...drawn, ...comparison.warnings],
        judged: {
          on: trial.on,
          holds: trial.verdict.spent <= 1,
          findings: trial.verdict.findings,
          apart: trial.apart,
        },
        ...(data?.splits.test.labels ? { testSet: { id: data.splits.test.id, samples: data.splits.test.length } } : {}),
        layers: [],
        notes: [],
        environment: environment(),
      },
      data?.spec.data,
    )
    io.finish()
    io.result(renderText(report), report)
    return
  }
  const warnings = [...drawn, ...(data ? await dataWarnings(model, data, told) : [])]
  const compared = flags.compareSizes ? await measureSizes(onnx, compressors) : undefined
  const sizes = {
    bytes: onnx.byteLength,
    packed: packedBytes,
    ...(compared ? { gzip: compared.gzipBytes, brotli: compared.brotliBytes } : {}),
  }
  const scores = data && task ? await scoresOf(model, { data, task, io, signal }) : []
  const accuracies = scores.flatMap(({ accuracy }) => (accuracy === undefined ? [] : [accuracy]))
  for (const warning of data ? chanceWarnings(accuracies, data.splits.test) : []) {
    warnings.push(warning)
    io.warn(warning)
  }
  const latencyMs = flags.latency
    ? await latencyAlone(onnx, await oneCall(model, { data, seed }), { io, signal })
    : undefined
  io.finish()
  io.result(
    [
      ...scores.map((score) => `${inWords(score, scores.length > 1)} of ${data?.splits.test.id}`),
      ...(latencyMs
        ? [
            `${milliseconds(latencyMs.median)} per call (10th to 90th percentile: ${milliseconds(latencyMs.p10)} to ${milliseconds(latencyMs.p90)})`,
          ]
        : []),
      Object.entries(sizes)
        .map(([what, n]) => `${what} ${count(n ?? 0)}`)
        .join(', '),
    ].join('\n'),
    {
      model: path,
      ...accuracyOf(scores),
      ...(latencyMs ? { latencyMs } : {}),
      sizes,
      warnings,
      environment: environment(),
    },
  )
}

async function latencyAlone(
  onnx: Uint8Array,
  feeds: Feeds,
  { io, signal }: Pick<Invocation, 'io' | 'signal'>,
): Promise<Spread> {
  const [{ latencyMs }] = await latencyOf([onnx], feeds, { signal, progress: io.progress })
  return latencyMs
}

/** What a person should know of a model that draws random numbers: without data it is not run, and what it draws may not show. */
async function drawWarnings(
  model: Model,
  { data, task, signal }: { readonly data?: BoundData; readonly task?: Task; readonly signal: AbortSignal },
): Promise<string[]> {
  const drawer = drawsRandom(model)
  if (!drawer) return []
  const draws = `the model draws random numbers as it runs (${drawer})`
  if (!data || !task) return [`${draws}, so its outputs may differ from run to run`]
  const [{ feeds }] = fedBatches(data.batcher, data.splits.test, 32)
  const found = await redraw(model, task, {
    inputs: () => [{ feeds }],
    signal,
    max: parseMaxLoss('0.5'),
    valuesOnly: false,
  })
  return found ? [`${draws}, and its outputs differ from run to run: what is measured on them does too`] : []
}

/** What the outputs mean, with the answers of the test data and a first run to tell. */
function taskOf(model: Model, { data, told }: { data: BoundData; told?: string }): Promise<Task> {
  const { batcher, splits } = data
  const [{ feeds }] = fedBatches(batcher, splits.test, 32)
  return resolveTask(model, { told, dataset: splits.test, feeds })
}

interface OutputScore extends AnswerScore {
  readonly output: string
  readonly kind: OutputKind
}

/** Each output that the data has answers for, on the whole test set. */
async function scoresOf(
  model: Model,
  { data, task, io, signal }: { data: BoundData; task: Task; io: Io; signal: AbortSignal },
): Promise<OutputScore[]> {
  const { labels, targets } = data.splits.test
  const answered = task.outputs.filter((o) => o.labelled)
  if (answered.length === 0 && (labels || targets))
    throw new Error(
      `${data.splits.test.id}: its ${answersInWords(data.splits.test)} fit no output of the model (${outputsInWords(model)}); expected ${fits(task)}, or --task OUTPUT=KIND`,
    )
  const scores: OutputScore[] = []
  for (const one of answered) {
    const score = await withSession(
      () => openSession(judgedModel(model, { outputs: [one] })),
      (session) =>
        evaluateAnswers(session, data.batcher, data.splits.test, {
          task: one,
          signal,
          progress: io.progress,
          batchSize: 250,
        }),
    )
    scores.push({ output: one.output, kind: one.kind, ...score })
  }
  // The output that training would learn comes first.
  const main = labelledOutput(task)?.output
  return scores.sort((a, b) => Number(b.output === main) - Number(a.output === main))
}

function fits({ outputs }: Task): string {
  return outputs.map((o) => `answers for "${o.output}" (${o.kind})`).join(' or ')
}

function inWords(score: OutputScore, several: boolean): string {
  const of = several ? `output "${score.output}": ` : ''
  const others = score.unanswered ? ` (NaN or infinity for ${count(score.unanswered)} more)` : ''
  const on = `on ${count(score.samples)} test samples${others}`
  if (score.explained !== undefined)
    return `${of}${percent(score.explained)} of the variance explained, root mean square error ${(score.rmse as number).toPrecision(4)}, ${on}`
  const top5 = score.top5 === undefined ? '' : `, top-5 ${percent(score.top5)}`
  const what = accuracyInWords(score.kind).replace('top-1 accuracy', 'top-1')
  return `${of}${what} ${percent(score.accuracy as number)}${top5} ${on}`
}

/** For programs: the first score as it was always given, and all of them where there are several or numbers. */
function accuracyOf(scores: readonly OutputScore[]): object {
  const [first] = scores
  if (!first) return {}
  const { accuracy: top1, top5, correct, samples } = first
  return {
    ...(top1 === undefined
      ? {}
      : { accuracy: { top1, ...(top5 === undefined ? {} : { top5 }), correct, count: samples } }),
    scores,
  }
}
