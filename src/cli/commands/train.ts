/** `coppice train`: a network of the zoo, drawn from the seed and trained. */
import { didYouMean } from '../../errors.ts'
import { zoo } from '../../zoo/index.ts'
import { seedOf } from '../data-options.ts'
import { type Io, numberList, numberOption } from '../io.ts'
import { checkOutputs } from '../outputs.ts'
import { trainModel, writtenBy } from '../train-model.ts'
import type { TrainFlags } from '../train-options.ts'

export interface NetFlags extends TrainFlags {
  readonly classes?: string
  readonly input?: string
  readonly width?: string
  readonly stem?: string
  readonly pooled?: string
}

export async function runTrain(name: string, flags: NetFlags, io: Io, signal: AbortSignal): Promise<void> {
  const names = Object.keys(zoo)
  const entry = Object.hasOwn(zoo, name) ? zoo[name] : undefined
  if (!entry)
    throw new Error(`train: there is no network "${name}"${didYouMean(name, names)}; expected ${names.join(', ')}`)
  const { classes, input, width, stem, pooled } = flags
  if (stem !== undefined && stem !== 'imagenet' && stem !== 'cifar')
    throw new Error(`--stem: "${stem}"; expected imagenet or cifar`)
  const model = entry.build({
    ...entry.defaults,
    seed: seedOf(flags),
    ...(classes ? { classes: numberOption(classes, '--classes', { min: 1, max: 1e6, integer: true }) } : {}),
    ...(input ? { inputShape: shapeOf(input) } : {}),
    ...(width ? { width: numberOption(width, '--width', { min: 0.01, max: 100 }) } : {}),
    ...(stem ? { stem } : {}),
    ...(pooled ? { pooled: numberOption(pooled, '--pooled', { min: 1, max: 64, integer: true }) } : {}),
  })
  checkOutputs([], writtenBy(flags))
  // An untrained network suits no preprocessing.
  await trainModel({ name, model }, { ...flags, preprocessCheck: false }, io, signal)
}

function shapeOf(text: string): [number, number, number] {
  const values = numberList(text, '--input')
  if (values.length !== 3 || values.some((v) => !Number.isInteger(v) || v < 1))
    throw new Error(`--input: "${text}"; expected CHANNELS,HEIGHT,WIDTH`)
  return values as [number, number, number]
}
