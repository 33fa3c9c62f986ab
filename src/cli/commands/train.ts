/** `coppice train`: a network of the zoo, drawn from the seed and trained. */
import { didYouMean } from '../../errors.ts'
import type { OptionsOf, OptionTable } from '../../options.ts'
import { zoo } from '../../zoo/index.ts'
import { defineCommand, type Invocation } from '../command.ts'
import { checkOutputs } from '../outputs.ts'
import { trainModel, writtenBy } from '../train-model.ts'
import { trainOptions, trainReportOption } from '../train-options.ts'

const options = {
  ...trainOptions({ epochs: 10, rate: 0.05 }),
  classes: {
    type: 'number',
    optional: true,
    min: 1,
    max: 1e6,
    integer: true,
    help: 'number of classes (default: that of the network)',
  },
  input: {
    type: 'numbers',
    optional: true,
    min: 1,
    integer: true,
    value: 'shape',
    help: 'CHANNELS,HEIGHT,WIDTH of its input (default: those of the network)',
  },
  width: {
    type: 'number',
    optional: true,
    min: 0.01,
    max: 100,
    value: 'factor',
    help: "multiply every layer's channels by this",
  },
  stem: {
    type: 'choice',
    of: ['imagenet', 'cifar'],
    optional: true,
    value: 'stem',
    help: 'imagenet, or cifar for small images: the form of the first layers',
  },
  pooled: {
    type: 'number',
    optional: true,
    min: 1,
    max: 64,
    integer: true,
    value: 'side',
    help: 'height and width that the last feature map is pooled to before the dense layers of AlexNet or VGG',
  },
  ...trainReportOption,
} as const satisfies OptionTable

export const trainCommand = defineCommand({
  arguments: '<net>',
  options,
  run: ([net], given, invocation) => runTrain(net, given, invocation),
})

async function runTrain(name: string, given: OptionsOf<typeof options>, invocation: Invocation): Promise<void> {
  const names = Object.keys(zoo)
  const entry = Object.hasOwn(zoo, name) ? zoo[name] : undefined
  if (!entry)
    throw new Error(`train: there is no network "${name}"${didYouMean(name, names)}; expected ${names.join(', ')}`)
  const { classes, input, width, stem, pooled, ...flags } = given
  if (input && input.length !== 3) throw new Error(`--input: "${input.join()}"; expected CHANNELS,HEIGHT,WIDTH`)
  const model = entry.build({
    ...entry.defaults,
    seed: flags.seed,
    ...(classes ? { classes } : {}),
    ...(input ? { inputShape: [input[0], input[1], input[2]] } : {}),
    ...(width ? { width } : {}),
    ...(stem ? { stem } : {}),
    ...(pooled ? { pooled } : {}),
  })
  checkOutputs([], writtenBy(flags))
  // An untrained network suits no preprocessing.
  await trainModel({ name, model }, { ...flags, preprocessCheck: false }, invocation)
}
