/** The zoo by name, as `coppice train NET` takes it. */
import type { Model } from '../model.ts'
import type { NetOptions } from './_builder.ts'
import { alexnet } from './alexnet.ts'
import { dsCnn } from './ds-cnn.ts'
import { googlenet } from './googlenet.ts'
import { lenet5, lenet300 } from './lenet.ts'
import { cifarStrides, mobilenetV2 } from './mobilenet.ts'
import { cifarResnet, resnet18, resnet50 } from './resnet.ts'
import { gru, transformer } from './sequences.ts'
import { shufflenetV2 } from './shufflenet.ts'
import { squeezenet1_1 } from './squeezenet.ts'
import { vgg16, vgg19 } from './vgg.ts'

export type { NetOptions } from './_builder.ts'

export interface ZooOptions extends NetOptions {
  /** `cifar`: the form for small images, with fewer reductions at the start, where a net has one. */
  readonly stem?: 'imagenet' | 'cifar'
  /** Side of the map that the dense layers get, where a net has several: 6 (AlexNet), 7 (VGG) or less, for small images. */
  readonly pooled?: number
}

export interface ZooEntry {
  build(options?: ZooOptions): Model
  /** Which options, of those that not every net has, make a difference. */
  readonly takes: readonly ('stem' | 'pooled')[]
  /** What the net is made for: the options left open. */
  readonly defaults: { readonly classes: number; readonly inputShape: readonly [number, number, number] }
}

const imagenet = { classes: 1000, inputShape: [3, 224, 224] } as const
const cifar10 = { classes: 10, inputShape: [3, 32, 32] } as const
const mnist = { classes: 10, inputShape: [1, 28, 28] } as const
const keywords = { classes: 12, inputShape: [1, 49, 10] } as const

export const zoo: Readonly<Record<string, ZooEntry>> = {
  lenet300: entry(lenet300, [], mnist),
  lenet5: entry(lenet5, [], mnist),
  alexnet: entry(alexnet, ['pooled'], imagenet),
  vgg16: entry(vgg16, ['pooled'], imagenet),
  vgg19: entry(vgg19, ['pooled'], imagenet),
  googlenet: entry(googlenet, ['stem'], imagenet),
  squeezenet1_1: entry(squeezenet1_1, ['stem'], imagenet),
  resnet18: entry(resnet18, ['stem'], imagenet),
  resnet50: entry(resnet50, ['stem'], imagenet),
  resnet20: entry((o) => cifarResnet(20, o), [], cifar10),
  resnet32: entry((o) => cifarResnet(32, o), [], cifar10),
  resnet44: entry((o) => cifarResnet(44, o), [], cifar10),
  resnet56: entry((o) => cifarResnet(56, o), [], cifar10),
  resnet110: entry((o) => cifarResnet(110, o), [], cifar10),
  mobilenetV2: entry(
    ({ stem, ...o }) => mobilenetV2(stem === 'cifar' ? { ...o, strides: cifarStrides } : o),
    ['stem'],
    imagenet,
  ),
  shufflenetV2: entry(shufflenetV2, ['stem'], imagenet),
  dsCnn: entry(dsCnn, [], keywords),
  gru: entry(gru, [], keywords),
  transformer: entry(transformer, [], keywords),
}

function entry(
  build: (options: ZooOptions) => Model,
  takes: ZooEntry['takes'],
  defaults: ZooEntry['defaults'],
): ZooEntry {
  return {
    takes,
    defaults,
    build(options = {}) {
      if (options.stem === 'cifar' && !takes.includes('stem'))
        throw new Error('zoo: this net has no stem to change; expected it without `stem: cifar`')
      if (options.pooled !== undefined && !takes.includes('pooled'))
        throw new Error('zoo: this net has no pooled map to change; expected it without `pooled`')
      return build(options)
    },
  }
}
