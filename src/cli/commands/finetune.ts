/** `coppice finetune`: trains the weights of a model on, pruned zeros kept unless told otherwise. */
import { basename } from 'node:path'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { expandGrids } from '../../quantize/compact.ts'
import { defineCommand, type Invocation } from '../command.ts'
import { openToWork } from '../inputs.ts'
import { trainModel, writtenBy } from '../train-model.ts'
import { trainOptions, trainReportOption } from '../train-options.ts'

const options = {
  ...trainOptions({ epochs: 1, rate: 0.001 }),
  keep: {
    type: 'choice',
    of: ['zeros', 'none'],
    default: 'zeros',
    value: 'what',
    help: 'zeros: weights that are zero stay zero, so that a pruned model stays pruned; or none',
  },
  updateStatistics: {
    type: 'boolean',
    default: false,
    help: 'update BatchNormalization statistics from the data; by default they stay as they are',
  },
  ...trainReportOption,
} as const satisfies OptionTable

export const finetuneCommand = defineCommand({
  arguments: '<model>',
  options,
  run: ([path], given, invocation) => runFinetune(path, given, invocation),
})

/**
 * BatchNormalization keeps its statistics unless told otherwise: those of data that is fed in another way than when the
 * network was trained (not cropped at random, say) can cost more accuracy than an epoch gains.
 */
async function runFinetune(path: string, given: OptionsOf<typeof options>, invocation: Invocation): Promise<void> {
  const { updateStatistics, ...flags } = given
  const model = openToWork(path, { outputs: writtenBy(flags) })
  await trainModel(
    { name: basename(path), model: expandGrids(model) },
    { ...flags, freezeStatistics: !updateStatistics },
    invocation,
  )
}
