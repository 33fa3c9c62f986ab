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
 * inputs of layers are rounded.
 */
import { defineMethod } from '../method.ts'
import type { OptionTable } from '../options.ts'
import { expandGrids } from '../quantize/compact.ts'
import { activationQuantisers, fakeQuantise, weightQuantisers } from '../quantize/fake-quantise.ts'
import { integerNode } from '../quantize/int8.ts'
import { leftInFloat } from '../quantize/int8-layers.ts'
import { checkNodeNames } from '../quantize/node-names.ts'
import { calibrateValues, prepareForFakes } from '../quantize/prepare-fakes.ts'
import { pointsOf } from '../quantize/quantised-points.ts'
import { learningOptions } from '../train/learning.ts'
import { distill } from '../train/regimes/distill.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { train } from '../train/train.ts'
import { keepZerosChoice, ownTeacherChoices } from './_choices.ts'
import { trainingOf } from './_training.ts'

const bits = { type: 'number', min: 2, max: 8, integer: true } as const

const quantiseChoices = {
  weightBits: { ...bits, default: 8, help: 'bits of weights; not used by ternary, ttq and binary' },
  activationBits: { ...bits, default: 8, help: 'bits of what layers multiply weights with' },
  edgeBits: {
    ...bits,
    default: 8,
    min: 0,
    help: 'bits of weights and inputs in the first and the last layer; 0: as in the other layers',
  },
  weights: {
    type: 'choice',
    of: weightQuantisers,
    default: 'lsq',
    help: 'how weights are rounded: lsq (learnt step), straight-through (step from the largest weight), dorefa, ternary, ttq (ternary with two learnt sizes) or binary',
  },
  activations: {
    type: 'choice',
    of: activationQuantisers,
    default: 'lsq',
    help: 'how activations are rounded: lsq (learnt step), pact (learnt limit), straight-through (running range), or float: not at all',
  },
  perChannel: {
    type: 'boolean',
    default: false,
    help: 'learns one step per output channel of a weight instead of one per tensor, which makes packed files larger',
  },
  clipDecay: {
    type: 'number',
    default: 0.0001,
    min: 0,
    max: 1,
    help: 'for pact: weight decay of the limits',
  },
  ...ownTeacherChoices,
  freezeAfter: {
    type: 'number',
    default: 0.5,
    min: 0,
    max: 1,
    value: 'share',
    help: 'share of the epochs after which BatchNormalization keeps its statistics',
  },
  ...keepZerosChoice,
  reduceRange: {
    type: 'boolean',
    default: true,
    help: 'keep sums of two 8-bit weights within 8 bits, which x86 processors without VNNI need',
  },
  excludeNodes: { type: 'strings', default: [], help: 'nodes to keep in float, by name (or first output)' },
} as const satisfies OptionTable

export const trainQuantised = defineMethod({
  id: 'train-quantised',
  help: 'trains a model with weights and activations of 2 to 8 bits, and stores them as integers',
  data: 'a training set with labels or targets',
  trains: true,
  options: { ...learningOptions({ epochs: 5, rate: 0.01 }), ...quantiseChoices },
  async run(model, settings, context) {
    const { data, context: inside, options } = await trainingOf('train-quantised', settings, context)
    const integers = integerNode(model)
    if (integers)
      throw new Error(`train-quantised: ${integers.op} computes on integers already; expected a float model`)
    checkNodeNames(model, settings.excludeNodes, 'train-quantised')
    const { keep, alpha, temperature, freezeAfter } = settings
    const prepared = await prepareForFakes(expandGrids(model))
    for (const what of leftInFloat(pointsOf(prepared, settings).plan)) context.warn?.(`train-quantised: ${what}`)
    const inFloat = settings.activations === 'float'
    const ranges = inFloat ? new Map() : await calibrateValues(prepared, settings, inside)
    const trained = await train(prepared, data, {
      ...options,
      frozenStatistics: Math.round(freezeAfter * options.epochs),
      regimes: [
        ...(keep === 'zeros' ? [keepZeros()] : []),
        ...(alpha > 0 ? [distill({ teacher: model, alpha, temperature })] : []),
        fakeQuantise({ ...settings, ranges }),
      ],
      ...(context.checkpoint ? { checkpoint: { store: context.checkpoint } } : {}),
    })
    return trained.model
  },
})
