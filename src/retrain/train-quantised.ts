/**
 * Training under quantisation: starting from calibrated ranges, weights and activations are rounded to few bits at every
 * step, and the network adapts to that. The result computes on integers, as that of `int8` does.
 *
 * What is stored: int8 weights with a scale per channel and uint8 activations, in QuantizeLinear / DequantizeLinear form,
 * which ONNX Runtime computes on. Fewer bits use fewer of the levels: activations are limited by a Clip of integers after
 * QuantizeLinear, weights take at most 2^bits values. With `activations` float, weights are float tensors of few values,
 * which `compact` and the packed file store as integers.
 *
 * With 8 bits for activations everything that `int8` puts on integers is, sums and poolings too. With fewer, only the
 * inputs of layers are rounded. One bit keeps their signs, which with binary weights is XNOR-Net (Rastegari et al. 2016,
 * arXiv:1603.05279); behind a Relu it keeps 0 or one size.
 */
import { defineMethod } from '../method.ts'
import type { OptionTable } from '../options.ts'
import { learningOptions } from '../train/learning.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { train } from '../train/train.ts'
import { keepZerosChoice } from './_choices.ts'
import { integerChoices, prepareQuantised, quantiserChoices } from './_quantised.ts'
import { taught, teacherChoices } from './_teacher.ts'
import { trainingOf } from './_training.ts'

const quantiseChoices = {
  ...quantiserChoices,
  ...teacherChoices,
  freezeAfter: {
    type: 'number',
    default: 0.5,
    min: 0,
    max: 1,
    value: 'share',
    help: 'share of the epochs after which BatchNormalization keeps its statistics',
  },
  ...keepZerosChoice,
  ...integerChoices,
} as const satisfies OptionTable

export const trainQuantised = defineMethod({
  id: 'train-quantised',
  help: 'trains a model with weights and activations of 1 to 8 bits, and stores them as integers',
  data: 'a training set with labels or targets',
  trains: true,
  teacher: true,
  options: { ...learningOptions({ epochs: 5, rate: 0.01 }), ...quantiseChoices },
  async run(given, settings, context) {
    const { data, context: inside, options } = await trainingOf('train-quantised', settings, context)
    const { keep, freezeAfter } = settings
    const { model, quantising } = await prepareQuantised('train-quantised', given, { settings, context: inside })
    const trained = await train(model, data, {
      ...options,
      frozenStatistics: Math.round(freezeAfter * options.epochs),
      regimes: [...(keep === 'zeros' ? [keepZeros()] : []), ...taught(given, settings, context), quantising],
      ...(context.checkpoint ? { checkpoint: { store: context.checkpoint } } : {}),
    })
    return trained.model
  },
})
