/** What is said of images that are fed in another way than a model was trained on. */
import { describe, expect, it } from 'vitest'
import { bindData, dataOptions } from '../cli/data-options.ts'
import { readFlags } from '../cli/flags.ts'
import { createIo } from '../cli/io.ts'
import type { Preprocess } from '../data/dataset.ts'
import { needsModels, realModel } from '../testing/real-models.ts'
import type { FlagTexts } from '../testing/run-command.ts'
import { preprocessWarning } from './preprocess-warnings.ts'

const plain: Preprocess = { range: [0, 1], layout: 'NCHW' }
const imageNet: Preprocess = { ...plain, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }

it.each<[Parameters<typeof preprocessWarning>, string]>([
  [
    [{ better: imageNet, samples: 300, unit: 'right', given: 0.362, found: 0.95 }, plain],
    'the model is right on 95.0 % of 300 training samples with --input-range 0..1 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225, and on 36.2 % with pixels mapped to 0..1, NCHW, as it is fed now: was it trained with the former?',
  ],
  [
    [
      {
        better: { range: [0, 255], channels: 'BGR', layout: 'NHWC' },
        samples: 40,
        unit: 'error',
        given: 9,
        found: 0.125,
      },
      imageNet,
    ],
    'mean squared error on 40 training samples is 0.125 with --input-range 0..255 --channels BGR --layout NHWC without --mean without --std, and 9.00 with pixels mapped to 0..1, mean 0.485,0.456,0.406, std 0.229,0.224,0.225, NCHW',
  ],
  [
    [{ better: { ...plain, range: [0, 255] }, samples: 40, unit: 'answers', given: 1, found: 5 }, plain],
    'the model gives nearly the same output for all of 40 training samples with pixels mapped to 0..1, NCHW, as it is fed now, and not so with --input-range 0..255',
  ],
])('is a sentence with flags and figures: %#', (args, message) => {
  expect(preprocessWarning(...args)).toContain(message)
})

describe(`on real models${needsModels}, with COPPICE_CIFAR10 and COPPICE_DATA set`, () => {
  const { COPPICE_CIFAR10: cifar, COPPICE_DATA: data } = process.env
  const warningsOf = async (name: string, flags: FlagTexts): Promise<string> => {
    const warnings: string[] = []
    const io = { ...createIo(true), warn: (message: string) => void warnings.push(message) }
    await bindData(realModel(name), readFlags(dataOptions, flags), io)
    return warnings.join()
  }
  const imageNetFlags = { mean: '0.485,0.456,0.406', std: '0.229,0.224,0.225' }

  it.skipIf(needsModels || !cifar)(
    'names the normalisation of CIFAR-10 networks, and nothing where it is given',
    async () => {
      const on = { data: `cifar10:${cifar}` }
      expect(await warningsOf('cifar10-resnet20', on)).toContain(
        'with --input-range 0..1 --mean 0.485,0.456,0.406 --std',
      )
      expect(await warningsOf('cifar10-resnet20', { ...on, ...imageNetFlags })).toBe('')
      expect(await warningsOf('mlperf-tiny-ic-resnet8', on)).toContain('with --input-range 0..255, and on')
      expect(await warningsOf('mlperf-tiny-ic-resnet8', { ...on, inputRange: '0..255' })).toBe('')
      expect(await warningsOf('mlperf-tiny-ic-resnet8', { ...on, preprocessCheck: false })).toBe('')
    },
    300_000,
  )

  it.skipIf(needsModels || !data)(
    'says nothing of a network that takes any range, nor of one that knows other things',
    async () => {
      expect(await warningsOf('mnist-8', { data: `mnist:${data}/mnist` })).toBe('')
      expect(await warningsOf('mnist-8', { data: `fashion-mnist:${data}/fashion-mnist`, inputRange: '0..255' })).toBe(
        '',
      )
    },
    300_000,
  )
})
