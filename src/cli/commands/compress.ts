/** `coppice compress`: the main job. */
import { basename } from 'node:path'
import { compressTable } from '../../compress/options.ts'
import type { CompressOptions } from '../../compress/settings.ts'
import { inputShapesOf } from '../../graph/input-shapes.ts'
import { opsetOf } from '../../model.ts'
import { checkpointFile } from '../../node/checkpoint-file.ts'
import { compressors } from '../../node/compress.ts'
import { environment } from '../../node/environment.ts'
import { writeFileAtomic } from '../../node/files.ts'
import { withPool } from '../../node/pool.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { compressWithReport } from '../../report/compress-with-report.ts'
import { renderHtml } from '../../report/html.ts'
import type { Report } from '../../report/report.ts'
import type { ReportOptions } from '../../report/report-of.ts'
import { renderText } from '../../report/text.ts'
import { openSession } from '../../runtime/session.ts'
import { parseMaxLoss } from '../../task/max-loss.ts'
import {
  compareSizesOption,
  defineCommand,
  type Invocation,
  latencyOption,
  outputOption,
  threadsOption,
} from '../command.ts'
import { bindData, dataOptions, shapedModel } from '../data-options.ts'
import { withoutFolders } from '../facts.ts'
import { openAny, openTeacher } from '../inputs.ts'
import { checkpointOption, teacherOption } from '../train-options.ts'

const options = {
  ...outputOption('the compressed model (.onnx)', '.onnx'),
  ...dataOptions,
  ...compressTable,
  teacher: {
    ...teacherOption.teacher,
    help: 'of --train: also learn the answers of this model (.onnx), which takes the same inputs',
  },
  checkpoint: {
    ...checkpointOption.checkpoint,
    help: 'of --train: save progress here each epoch; the same command resumes from it',
  },
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
  const { goal, mode, seed } = flags
  // A wrong limit is told before the model is opened.
  parseMaxLoss(flags.maxLoss)
  const names = outputNames(flags)
  const outputs = [...Object.values(names), flags.checkpoint]
  const { model: asFiled, onnx: original, raisedFrom, fileBytes } = openAny(path, { outputs })
  const model = shapedModel(asFiled, flags)
  const teacher = openTeacher(flags, { outputs })
  // What the runtime cannot load is told at once, and of which file.
  await (await openSession(original, { name: path })).release()
  // compress() itself compares ways of feeding images.
  const data = await bindData(model, { ...flags, preprocessCheck: false }, io, signal)
  const { maxLoss, task, keepMetadata, preprocessCheck, train, budget, crop, flip, mixup } = flags
  const compressOptions: CompressOptions = {
    ...{ goal, maxLoss, task, mode, keepMetadata, preprocessCheck, seed },
    ...{ train, budget, crop, flip, mixup },
    ...(teacher ? { teacher } : {}),
    ...(flags.checkpoint ? { checkpoint: checkpointFile(flags.checkpoint) } : {}),
    original,
    say: (sentence) => io.say(`note: ${sentence}`),
    warn: io.warn,
    data,
    calibration: data?.spec,
    writtenInputs: inputShapesOf(asFiled),
    signal,
  }
  const reportOptions: ReportOptions = {
    names: [basename(path), basename(flags.output)],
    fileBytes,
    ...(names.pack ? { packedFile: basename(names.pack) } : {}),
    threads: flags.threads,
    skipLatency: !flags.latency,
    ...(flags.compareSizes ? { compressors } : {}),
    notes: raisedFrom ? [`operator set ${raisedFrom} was raised to ${opsetOf(model)}`] : [],
    environment: environment(),
    signal,
    withWorkers: (use) => withPool({ bytes: fileBytes }, use),
  }
  const { report: made, ...result } = await compressWithReport(model, {
    compress: compressOptions,
    report: reportOptions,
    progress: (done, what) => io.progress(done, what),
  })
  const report = withoutFolders(made, data?.spec.data)
  const files = await writeResults(names, { ...result, report })
  // That the limit is broken is the first line, and the first warning of the page.
  const [broken, others] = result.holds ? [[], report.warnings] : [[report.warnings[0]], report.warnings.slice(1)]
  const shown = { ...report, warnings: others }
  io.finish()
  io.result([...broken, renderText(shown), '', ...files.map((f) => `wrote ${f}`)].join('\n'), { ...shown, files })
  if (!result.holds) process.exitCode = brokenLimit
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
