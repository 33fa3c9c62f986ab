/**
 * Training for a small packed file: the size that the coded weights would have is part of the loss (train/regimes/coded-size.ts),
 * so that the network finds weights that are both right and cheap: few, small whole numbers of a step that each tensor learns,
 * with their zeros where the coder expects them.
 *
 * BatchNormalization is folded first, so that what is trained is what is stored. What leaves is the model as it was, with float
 * weights and biases on their grids: `remove-dead` then removes the units that have become empty, and `compact` stores the
 * weights as integers where the .onnx file should be small too.
 */
import { describe } from '../graph/walk.ts'
import { weightTensors } from '../graph/weights.ts'
import { defineMethod } from '../method.ts'
import type { OptionTable } from '../options.ts'
import { expandGrids } from '../quantize/compact.ts'
import { foldBatchNorms } from '../simplify/fold-batch-norm.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { learningOptions } from '../train/learning.ts'
import { codedSize } from '../train/regimes/coded-size.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { train } from '../train/train.ts'
import { keepZerosChoice } from './_choices.ts'
import { taught, teacherChoices } from './_teacher.ts'
import { trainingOf } from './_training.ts'

/** A tenth of the loss for each bit per weight: 8,000 bits are worth 800 over the number of weights. */
const usualPrice = 800

/** Adam, since weights must travel equally far to zero however small their gradients are. */
const learning = learningOptions({ epochs: 10, rate: 0.001 })

const choices = {
  price: {
    type: 'number',
    optional: true,
    min: 0,
    max: 1e6,
    value: 'loss',
    help: 'the loss that a kilobyte is worth: a higher price gives a smaller file (default: 800 over the number of weights)',
  },
  rise: {
    type: 'number',
    default: 0.5,
    min: 0,
    max: 1,
    value: 'share',
    help: 'share of the training over which the price rises to its full value',
  },
  ...teacherChoices,
  ...keepZerosChoice,
} as const satisfies OptionTable

export const trainSmall = defineMethod({
  id: 'train-small',
  help: 'trains a model with the size of its packed file as part of the loss',
  data: 'a training set with labels or targets',
  trains: true,
  teacher: true,
  options: { ...learning, optimizer: { ...learning.optimizer, default: 'adam' }, ...choices },
  async run(given, { price, rise, alpha, temperature, keep, ...words }, context) {
    const { data, options } = await trainingOf('train-small', words, context)
    const model = foldBatchNorms(expandGrids(given), (node, why) =>
      context.warn?.(`train-small: ${describe(node)} stays, with its statistics in float: ${why}`),
    )
    const weights = weightTensors(model).reduce((n, { tensor }) => n + sizeOf(tensor.dims), 0)
    const steps = Math.floor(data.length / options.batchSize) * options.epochs
    let kilobytes = ''
    const trained = await train(model, data, {
      ...options,
      frozenStatistics: true,
      onProgress: ({ step, steps, epoch, epochs, loss }) =>
        context.progress?.(step / steps, `epoch ${epoch + 1}/${epochs}: loss ${loss.toFixed(4)}${kilobytes}`),
      regimes: [
        ...(keep === 'zeros' ? [keepZeros()] : []),
        ...taught(given, { alpha, temperature }, context),
        codedSize({
          price: price ?? usualPrice / Math.max(1, weights),
          rise: Math.round(rise * steps),
          onBits(bits) {
            kilobytes = `, weights about ${(bits / 8000).toPrecision(3)} KB`
          },
        }),
      ],
      ...(context.checkpoint ? { checkpoint: { store: context.checkpoint } } : {}),
    })
    return trained.model
  },
})
