/** `coppice compress`: the main job. */
import { basename } from 'node:path'
import { brokenInWords, type CompressOptions, compress } from '../../compress/compress.ts'
import { compressTable } from '../../compress/options.ts'
import type { BoundData } from '../../data/handle.ts'
import { compareModels } from '../../evaluate/compare.ts'
import { packModelOn } from '../../formats/pack.ts'
import { msToPack } from '../../formats/pack-costs.ts'
import { inputShapesOf, withInputShapes } from '../../graph/input-shapes.ts'
import { type Model, opsetOf } from '../../model.ts'
import { compressors } from '../../node/compress.ts'
import { writeFileAtomic } from '../../node/files.ts'
import { withPool } from '../../node/pool.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { Outlook } from '../../progress.ts'
import { constantRows } from '../../report/constant-rows.ts'
import { renderHtml } from '../../report/html.ts'
import type { Report } from '../../report/report.ts'
import { renderText } from '../../report/text.ts'
import { openSession } from '../../runtime/session.ts'
import { compressCosts, msToCompress } from '../../search/costs.ts'
import { isSameModel, speedInWords, speedVerdict } from '../../speed-up.ts'
import { parseMaxLoss } from '../../task/max-loss.ts'
import { byteLengthOf, sizeOf } from '../../tensor/dtype.ts'
import {
  compareSizesOption,
  defineCommand,
  type Invocation,
  latencyOption,
  outputOption,
  threadsOption,
} from '../command.ts'
import { bindData, dataOptions, shapedModel } from '../data-options.ts'
import { environment } from '../environment.ts'
import { inputFacts, withoutFolders } from '../facts.ts'
import { openAny } from '../inputs.ts'

const options = {
  ...outputOption('the compressed model (.onnx)', '.onnx'),
  ...dataOptions,
  ...compressTable,
  pack: { type: 'string', optional: true, value: 'file', writes: '.cop', help: 'also write the packed file (.cop)' },
  report: { type: 'string', optional: true, value: 'file', writes: '.html', help: 'also write the report (.html)' },
  recipe: {
    type: 'string',
    optional: true,
    value: 'file',
    writes: '.json',
    help: 'where to write the recipe, with which `coppice run` repeats the result (default: beside the output)',
  },
  ...latencyOption,
  ...compareSizesOption,
  ...threadsOption,
} as const satisfies OptionTable

type CompressFlags = OptionsOf<typeof options>

export const compressCommand = defineCommand({
  arguments: '<model>',
  options,
  run: ([path], given, invocation) => runCompress(path, given, invocation),
})

async function runCompress(path: string, flags: CompressFlags, { io, signal }: Invocation): Promise<void> {
  const { goal, packMode, seed } = flags
  // A wrong limit is told before the model is opened.
  parseMaxLoss(flags.maxLoss)
  const names = outputNames(flags)
  const { model: asFiled, onnx: original, raisedFrom, fileBytes } = openAny(path, { outputs: Object.values(names) })
  const model = shapedModel(asFiled, flags)
  // What the runtime cannot load is told at once, and of which file.
  await (await openSession(original, { name: path })).release()
  const data = await bindData(model, flags, io, signal)
  const warnings: string[] = [...(data?.warnings ?? [])]
  const latencyMs = goal === 'speed' ? 20_000 : 3_000
  const outlook = new Outlook(partsAhead(model, { data, latencyMs: flags.latency ? latencyMs : 0 }), (done, what) =>
    io.progress(done, what),
  )
  const { maxLoss, task, keepMetadata } = flags
  const compressOptions: CompressOptions = {
    ...{ goal, maxLoss, task, packMode, keepMetadata, seed },
    original,
    say: (sentence) => io.say(`note: ${sentence}`),
    data,
    calibration: data?.spec,
    writtenInputs: inputShapesOf(asFiled),
    progress: outlook.begin('compressing', 'tidying'),
    warn: (message) => warnings.push(message),
    signal,
  }
  if (!data)
    warnings.push(
      'no data was given: the loss was judged on random inputs, which real inputs may not resemble; use --data SPEC',
    )
  const { result, rows, before } = await withPool({ bytes: fileBytes }, async (workers) => {
    const result = await compress(model, { ...compressOptions, workers })
    return {
      result,
      rows: await constantRows(result.floatForm, result.model, {
        ...result,
        workers,
        progress: outlook.begin('rows', 'measuring packed bytes per layer'),
      }),
      before: await packModelOn(asFiled, {
        mode: packMode,
        workers,
        progress: outlook.begin('original', 'packing the original, to compare'),
      }),
    }
  })
  // What is measured is what a user gets: the model decoded from the packed file.
  const comparison = await compareModels(
    { name: basename(path), model, onnx: original, packedBytes: before.byteLength },
    {
      name: basename(flags.output),
      model: withInputShapes(result.model, inputShapesOf(model)),
      onnx: result.decoded,
      packedBytes: result.packed.byteLength,
    },
    {
      data,
      seed,
      trial: result.trial,
      ...(flags.compareSizes ? { compressors } : {}),
      skipLatency: !flags.latency,
      latencyMs,
      signal,
      progress: outlook.begin('measuring', 'measuring'),
    },
  )
  const { speedUp, agreement } = comparison
  const verdict = speedUp && speedVerdict(speedUp)
  if (speedUp && verdict === 'slower') warnings.push(`the result is ${speedInWords(speedUp)}`)
  if (goal === 'speed' && speedUp && verdict === 'could not tell')
    warnings.push(
      isSameModel(speedUp)
        ? 'nothing faster was found on this machine: the result is the unchanged model'
        : `the result may not be faster: ${speedInWords(speedUp)}`,
    )
  const report: Report = withoutFolders<Report>(
    {
      title: `${basename(path)}, compressed for ${goal}`,
      goal,
      made: new Date().toISOString(),
      input: inputFacts(model, { data, seed, threads: flags.threads }),
      ...(names.pack ? { packedFile: basename(names.pack) } : {}),
      before: { ...comparison.before, bytes: fileBytes },
      after: { ...comparison.after, bytes: result.onnx.byteLength },
      agreement,
      ...(speedUp ? { speedUp } : {}),
      ...(data?.splits.test.labels ? { testSet: { id: data.splits.test.id, samples: data.splits.test.length } } : {}),
      ...(result.heldBack ? { heldBack: result.heldBack } : {}),
      judged: { on: result.trial.on, holds: result.holds, findings: result.trial.verdict.findings },
      ...rows,
      recipe: result.recipe,
      notes: raisedFrom
        ? [`operator set ${raisedFrom} was raised to ${opsetOf(model)}`, ...result.notes]
        : result.notes,
      warnings,
      environment: environment(),
    },
    data?.spec.data,
  )
  const broken = result.holds
    ? []
    : [withoutFolders(`the limit is broken: ${brokenInWords(result.trial)}`, data?.spec.data)]
  const page = { ...report, warnings: [...broken, ...report.warnings] }
  const files = await writeResults(names, { ...result, report: page })
  io.finish()
  io.result([...broken, renderText(report), '', ...files.map((f) => `wrote ${f}`)].join('\n'), { ...report, files })
  if (!result.holds) process.exitCode = brokenLimit
}

/** What lies ahead, in milliseconds that are guessed. */
function partsAhead(model: Model, { data, latencyMs }: { data?: BoundData; latencyMs: number }) {
  const weights = [...model.graph.initializers.values()].map((t) => ({ ...t, size: sizeOf(t.dims) }))
  const toPack = weights.reduce((sum, w) => sum + msToPack({ ...w, byteLength: byteLengthOf(w.dtype, w.size) }), 0)
  const params = weights.reduce((sum, { size }) => sum + size, 0)
  return [
    { kind: 'compressing', cost: msToCompress(compressCosts(model, data)) },
    { kind: 'rows', cost: 1.3 * toPack },
    { kind: 'original', cost: toPack / 2 },
    { kind: 'measuring', cost: 100 + 8e-5 * params + latencyMs },
  ]
}

/** The exit code where the result breaks the limit; its files are written all the same. */
const brokenLimit = 2

interface OutputNames {
  readonly onnx: string
  readonly recipe: string
  readonly pack?: string
  readonly report?: string
}

function outputNames({ output, pack, report, recipe }: CompressFlags): OutputNames {
  return { onnx: output, pack, recipe: recipe ?? `${output.replace(/\.onnx$/, '')}.recipe.json`, report }
}

async function writeResults(
  names: OutputNames,
  { onnx, packed, recipe, report }: { onnx: Uint8Array; packed: Uint8Array; recipe: object; report: Report },
): Promise<string[]> {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value)
  await writeFileAtomic(names.onnx, onnx)
  if (names.pack) await writeFileAtomic(names.pack, packed)
  await writeFileAtomic(names.recipe, text(`${JSON.stringify(recipe, null, 2)}\n`))
  if (names.report) await writeFileAtomic(names.report, text(renderHtml(report)))
  return Object.values(names).filter((name) => name !== undefined)
}
