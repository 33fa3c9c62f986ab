/** `coppice finetune`: trains the weights of a model on, pruned zeros kept unless told otherwise. */
import { basename } from 'node:path'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { expandGrids } from '../../quantize/compact.ts'
import { finetuneChoices } from '../../retrain/finetune.ts'
import { distill, distillDefaults } from '../../train/regimes/distill.ts'
import { defineCommand, type Invocation } from '../command.ts'
import { openToWork } from '../inputs.ts'
import { trainModel, writtenBy } from '../train-model.ts'
import { trainOptions, trainReportOption } from '../train-options.ts'

const options = {
  ...trainOptions({ epochs: 1, rate: 0.001 }),
  ...finetuneChoices,
  teacher: {
    type: 'string',
    optional: true,
    value: 'model',
    help: 'also learn the answers of this model (.onnx), which takes the same inputs and gives the same classes',
  },
  temperature: {
    type: 'number',
    optional: true,
    min: 0.01,
    max: 1000,
    help: `of --teacher: higher lets its small probabilities count for more (default: ${distillDefaults.temperature})`,
  },
  alpha: {
    type: 'number',
    optional: true,
    min: 0,
    max: 1,
    help: `share of the loss that is --teacher's; at 1 no labels are needed (default: ${distillDefaults.alpha})`,
  },
  ...trainReportOption,
} as const satisfies OptionTable

export const finetuneCommand = defineCommand({
  arguments: '<model>',
  options,
  run: ([path], given, invocation) => runFinetune(path, given, invocation),
})

async function runFinetune(path: string, given: OptionsOf<typeof options>, invocation: Invocation): Promise<void> {
  const { updateStatistics, ...flags } = given
  const outputs = writtenBy(flags)
  const model = openToWork(path, { outputs })
  const { teacher } = flags
  const regimes = teacher === undefined ? [] : [distill({ ...flags, teacher: openToWork(teacher, { outputs }) })]
  const unread = (['temperature', 'alpha'] as const).find((name) => flags[name] !== undefined)
  if (unread && teacher === undefined)
    throw new Error(`--${unread}: there is no teacher; expected --teacher MODEL with it`)
  const shown = { ...flags, ...(teacher === undefined ? {} : { teacher: basename(teacher) }) }
  await trainModel(
    { name: basename(path), model: expandGrids(model), regimes },
    { ...shown, freezeStatistics: !updateStatistics },
    invocation,
  )
}
