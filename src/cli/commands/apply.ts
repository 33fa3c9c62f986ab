/** `coppice apply METHOD MODEL`: any method alone, its options as flags. */
import { statSync } from 'node:fs'
import type { Method } from '../../method.ts'
import { methodNamed, methods } from '../../methods.ts'
import { type Model, type Tensor, withGraph } from '../../model.ts'
import { checkpointFile } from '../../node/checkpoint-file.ts'
import { count } from '../../numbers.ts'
import { writeModel } from '../../onnx/write.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { answeredHandle } from '../../task/unanswered.ts'
import { sameBytes } from '../../tensor/dtype.ts'
import { type CliCommand, type Invocation, outputOption, taskOption, threadsOption } from '../command.ts'
import { asGiven, bindData, dataOptions, shapedModel, shapeOption } from '../data-options.ts'
import { openTeacher, openWithSize } from '../inputs.ts'
import { layoutOption, plannedOutputs, saveFor } from '../layout.ts'
import { taskOf } from '../train-model.ts'
import { checkpointOption, teacherOption } from '../train-options.ts'

const resultOption = { ...outputOption('the result (.onnx)', '.onnx'), ...layoutOption } as const

const feedOptions = {
  ...dataOptions,
  samples: {
    type: 'number',
    default: 512,
    min: 1,
    max: 1e9,
    integer: true,
    onlyWith: { data: 'given' },
    help: 'training samples that the method looks at',
  },
  batch: {
    type: 'number',
    default: 64,
    min: 1,
    max: 1e6,
    integer: true,
    onlyWith: { data: 'given' },
    help: 'samples per call',
  },
  task: { ...taskOption.task, onlyWith: { data: 'given' } },
  ...threadsOption,
} as const satisfies OptionTable

/** The command for the method that is named: its flags, then those of the data where it looks at any. */
export function applyCommand(id: string | undefined): CliCommand {
  const method = id === undefined ? undefined : methods.get(id)
  const { seed } = dataOptions
  const shared = {
    ...(method?.data ? feedOptions : { ...shapeOption, seed }),
    ...(method?.trains && checkpointOption),
    ...(method?.teacher && teacherOption),
  }
  // First those of the method, which may have their own default for one that is shared.
  const options = { ...resultOption, ...method?.options, ...shared, ...method?.options }
  return {
    arguments: '<method> <model>',
    ...(method ? { help: `${method.id}: ${method.help}${method.data ? `. Data: ${method.data}` : ''}` } : {}),
    options,
    run: ([name, path], given, invocation) => apply(methodNamed(name), path, given, invocation),
  }
}

type Given = OptionsOf<OptionTable> &
  OptionsOf<typeof resultOption> &
  OptionsOf<typeof feedOptions> &
  OptionsOf<typeof checkpointOption> &
  OptionsOf<typeof teacherOption>

async function apply(
  method: Method,
  path: string,
  given: OptionsOf<OptionTable>,
  { io, signal }: Invocation,
): Promise<void> {
  const flags = given as Given
  const written = [...plannedOutputs(path, flags), ...(flags.checkpoint ? [flags.checkpoint] : [])]
  const { model: original, bytes } = openWithSize(path, { outputs: written })
  const model = shapedModel(original, flags)
  const data = method.data ? await bindData(model, flags, io, signal) : undefined
  if (method.trains && !data) throw new Error(`apply: ${method.id} trains, and there is no data; expected --data SPEC`)
  const task = data && taskOf(model, data.splits.train, flags)
  const teacher = openTeacher(flags, { outputs: written })
  const usual = { samples: flags.samples, batchSize: flags.batch }
  const warnings: string[] = []
  const warn = (message: string): void => void warnings.push(message)
  const options = Object.fromEntries(Object.keys(method.options).map((name) => [name, given[name]]))
  const result = await method(model, options as Partial<OptionsOf<OptionTable>>, {
    ...(data ? { data: await answeredHandle(model, data, { seed: flags.seed, usual, signal, warn }) } : {}),
    ...(task ? { task } : {}),
    ...(teacher ? { teacher } : {}),
    ...(flags.checkpoint ? { checkpoint: checkpointFile(flags.checkpoint) } : {}),
    seed: flags.seed ?? 0,
    signal,
    progress: io.progress,
    warn,
  })
  if (warnings.length === 0 && isSame(model, result))
    warnings.push(`${method.id}: nothing was changed, as there is nothing for it to do: it ${method.help}`)
  const files = await saveFor(asGiven(result, original), path, flags)
  const size = files.reduce((sum, file) => sum + statSync(file).size, 0)
  if (size > bytes)
    warnings.push(`${method.id}: the result is larger than the model: ${count(size)} bytes, and ${count(bytes)} before`)
  io.finish()
  const step = [method.id, options]
  const text = [...warnings.map((w) => `warning: ${w}`), ...files.map((file) => `wrote ${file}`)].join('\n')
  io.result(text, { model: path, files, step, warnings })
}

/** Whether two models have the same stored tensors, and the same bytes beside them. */
function isSame(a: Model, b: Model): boolean {
  const [before, after] = [a.graph.initializers, b.graph.initializers]
  const isKept = ([name, tensor]: [string, Tensor]): boolean => {
    const other = after.get(name)
    if (!other || other === tensor) return other === tensor
    const isAlike = other.dtype === tensor.dtype && String(other.dims) === String(tensor.dims)
    return isAlike && (other.data === tensor.data || sameBytes(other.data, tensor.data))
  }
  const others = (m: Model): Uint8Array => writeModel(withGraph(m, { initializers: new Map() }))
  return before.size === after.size && [...before].every(isKept) && sameBytes(others(a), others(b))
}
