/** The zoo by name, as `coppice train NET` takes it. */
import type { Model } from '../model.ts'
import type { NetOptions } from './_builder.ts'
import { alexnet } from './alexnet.ts'
import { dsCnn } from './ds-cnn.ts'
import { googlenet } from './googlenet.ts'
import { lenet5, lenet300 } from './lenet.ts'
import { cifarStrides, mobilenetV2 } from './mobilenet.ts'
import { cifarResnet, resnet18, resnet50 } from './resnet.ts'
import { shufflenetV2 } from './shufflenet.ts'
import { squeezenet1_1 } from './squeezenet.ts'
import { vgg16, vgg19 } from './vgg.ts'

export interface ZooOptions extends NetOptions {
  /** `cifar`: the form for small images, with fewer reductions at the start, where a net has one. */
  readonly stem?: 'imagenet' | 'cifar'
}

export interface ZooEntry {
  build(options?: ZooOptions): Model
  /** Whether `stem: 'cifar'` makes a difference. */
  readonly hasStem: boolean
  /** What the net is made for: the options left open. */
  readonly defaults: { readonly classes: number; readonly inputShape: readonly [number, number, number] }
}

const imagenet = { classes: 1000, inputShape: [3, 224, 224] } as const
const cifar10 = { classes: 10, inputShape: [3, 32, 32] } as const
const mnist = { classes: 10, inputShape: [1, 28, 28] } as const
const keywords = { classes: 12, inputShape: [1, 49, 10] } as const

export const zoo: Readonly<Record<string, ZooEntry>> = {
  lenet300: { build: withoutStem(lenet300), hasStem: false, defaults: mnist },
  lenet5: { build: withoutStem(lenet5), hasStem: false, defaults: mnist },
  alexnet: { build: withoutStem(alexnet), hasStem: false, defaults: imagenet },
  vgg16: { build: withoutStem(vgg16), hasStem: false, defaults: imagenet },
  vgg19: { build: withoutStem(vgg19), hasStem: false, defaults: imagenet },
  googlenet: { build: googlenet, hasStem: true, defaults: imagenet },
  squeezenet1_1: { build: squeezenet1_1, hasStem: true, defaults: imagenet },
  resnet18: { build: resnet18, hasStem: true, defaults: imagenet },
  resnet50: { build: resnet50, hasStem: true, defaults: imagenet },
  resnet20: { build: withoutStem((o) => cifarResnet(20, o)), hasStem: false, defaults: cifar10 },
  resnet32: { build: withoutStem((o) => cifarResnet(32, o)), hasStem: false, defaults: cifar10 },
  resnet44: { build: withoutStem((o) => cifarResnet(44, o)), hasStem: false, defaults: cifar10 },
  resnet56: { build: withoutStem((o) => cifarResnet(56, o)), hasStem: false, defaults: cifar10 },
  resnet110: { build: withoutStem((o) => cifarResnet(110, o)), hasStem: false, defaults: cifar10 },
  mobilenetV2: {
    build: ({ stem, ...o } = {}) => mobilenetV2(stem === 'cifar' ? { ...o, strides: cifarStrides } : o),
    hasStem: true,
    defaults: imagenet,
  },
  shufflenetV2: { build: shufflenetV2, hasStem: true, defaults: imagenet },
  dsCnn: { build: withoutStem(dsCnn), hasStem: false, defaults: keywords },
}

function withoutStem(build: (options: NetOptions) => Model): ZooEntry['build'] {
  return ({ stem, ...options } = {}) => {
    if (stem === 'cifar') throw new Error('zoo: this net has no stem to change; expected it without `stem: cifar`')
    return build(options)
  }
}
