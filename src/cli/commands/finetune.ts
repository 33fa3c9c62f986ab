/** `coppice finetune`: trains the weights of a model on, pruned zeros kept unless told otherwise. */
import { basename } from 'node:path'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { expandGrids } from '../../quantize/compact.ts'
import { finetuneChoices } from '../../retrain/finetune.ts'
import { distill, distillDefaults } from '../../train/regimes/distill.ts'
import { defineCommand, type Invocation } from '../command.ts'
import { flagOf } from '../flags.ts'
import { openToWork } from '../inputs.ts'
import { trainModel, writtenBy } from '../train-model.ts'
import { teacherOption, trainOptions, trainReportOption } from '../train-options.ts'

const options = {
  ...trainOptions({ epochs: 1, rate: 0.001 }),
  ...finetuneChoices,
  ...teacherOption,
  temperature: {
    type: 'number',
    optional: true,
    min: 0.01,
    max: 1000,
    help: `of --teacher, for classes and yes or no: higher lets small probabilities count for more (default: ${distillDefaults.temperature})`,
  },
  alpha: {
    type: 'number',
    optional: true,
    min: 0,
    max: 1,
    help: `share of the loss that is --teacher's; at 1 no labels are needed (default: ${distillDefaults.alpha})`,
  },
  features: {
    type: 'strings',
    optional: true,
    value: 'own=teacher,...',
    help: 'also draw values inside the model towards values inside --teacher, by their names in each; of one shape',
  },
  featureWeight: {
    type: 'number',
    optional: true,
    min: 0,
    max: 1e6,
    help: `weight of --features in the loss (default: ${distillDefaults.featureWeight})`,
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
  const features = pairsOf(flags.features)
  const regimes =
    teacher === undefined ? [] : [distill({ ...flags, features, teacher: openToWork(teacher, { outputs }) })]
  const unread = (['temperature', 'alpha', 'features', 'featureWeight'] as const).find((n) => flags[n] !== undefined)
  if (unread && teacher === undefined)
    throw new Error(`${flagOf(unread)}: there is no teacher; expected --teacher MODEL with it`)
  if (flags.featureWeight !== undefined && !features)
    throw new Error('--feature-weight: there are no features; expected --features OWN=TEACHER with it')
  const shown = { ...flags, ...(teacher === undefined ? {} : { teacher: basename(teacher) }) }
  await trainModel(
    { name: basename(path), model: expandGrids(model), regimes },
    { ...shown, freezeStatistics: !updateStatistics },
    invocation,
  )
}

/** `own=teacher`, by the names of values in each. */
function pairsOf(given: readonly string[] | undefined): { student: string; teacher: string }[] | undefined {
  return given?.map((pair) => {
    const [student, teacher, ...more] = pair.split('=')
    if (!student || !teacher || more.length > 0)
      throw new Error(`--features: "${pair}" names no two values; expected OWN=TEACHER`)
    return { student, teacher }
  })
}
