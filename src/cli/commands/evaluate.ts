/** `coppice evaluate`: accuracy on labelled data, agreement with a reference, latency, sizes. */
import { basename } from 'node:path'
import { evaluateAccuracy } from '../../evaluate/accuracy.ts'
import { measureSizes } from '../../evaluate/size.ts'
import { packModel } from '../../formats/pack.ts'
import { compressors } from '../../node/compress.ts'
import { count, milliseconds, percent } from '../../report/format.ts'
import { compareModels, latencyOf, oneCall } from '../../report/measure.ts'
import type { Report } from '../../report/report.ts'
import { renderText } from '../../report/text.ts'
import { openSession, withSession } from '../../runtime/session.ts'
import { bindData, type DataFlags, seedOf, shapedModel } from '../data-options.ts'
import { environment } from '../environment.ts'
import { inputFacts, withoutFolders } from '../facts.ts'
import { openAny } from '../inputs.ts'
import type { Io } from '../io.ts'

export interface EvaluateFlags extends DataFlags {
  readonly against?: string
  readonly compareSizes?: boolean
  readonly threads?: string
}

export async function runEvaluate(path: string, flags: EvaluateFlags, io: Io, signal: AbortSignal): Promise<void> {
  const seed = seedOf(flags)
  const { model: original, onnx } = openAny(path)
  const model = shapedModel(original, flags)
  const packedBytes = packModel(original).byteLength
  const data = await bindData(model, flags, io, signal)
  const shared = { data, seed, signal, progress: io.progress, ...(flags.compareSizes ? { compressors } : {}) }
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
        judged: { on: trial.on, holds: trial.verdict.spent <= 1, findings: trial.verdict.findings },
        ...(data?.splits.test.labels ? { testSet: { id: data.splits.test.id, samples: data.splits.test.length } } : {}),
        layers: [],
        notes: [],
        warnings: data?.warnings ?? [],
        environment: environment(),
      },
      data?.spec.data,
    )
    io.finish()
    io.result(renderText(report), report)
    return
  }
  const open = () => openSession(onnx, { name: path })
  const compared = flags.compareSizes ? await measureSizes(onnx, compressors) : undefined
  const sizes = {
    bytes: onnx.byteLength,
    packed: packedBytes,
    ...(compared ? { gzip: compared.gzipBytes, brotli: compared.brotliBytes } : {}),
  }
  const accuracy = data?.splits.test.labels
    ? await withSession(open, (session) =>
        evaluateAccuracy(session, data.batcher, data.splits.test, { signal, progress: io.progress, batchSize: 250 }),
      )
    : undefined
  const feeds = await oneCall(model, { data, seed })
  const [{ latencyMs }] = await latencyOf([onnx], feeds, { signal, progress: io.progress })
  io.finish()
  io.result(
    [
      ...(accuracy
        ? [
            `top-1 ${percent(accuracy.top1)}${accuracy.top5 === undefined ? '' : `, top-5 ${percent(accuracy.top5)}`} on ${count(accuracy.count)} test samples of ${data?.splits.test.id}`,
          ]
        : []),
      `${milliseconds(latencyMs.median)} per call (10th to 90th percentile: ${milliseconds(latencyMs.p10)} to ${milliseconds(latencyMs.p90)})`,
      Object.entries(sizes)
        .map(([what, n]) => `${what} ${count(n ?? 0)}`)
        .join(', '),
    ].join('\n'),
    { model: path, ...(accuracy ? { accuracy } : {}), latencyMs, sizes, environment: environment() },
  )
}
