/**
 * ResNets of He et al. 2015 (arXiv:1512.03385): 18 and 50 in torchvision's form (stride in the 3x3 convolution), and
 * the CIFAR nets of section 4.2 with n blocks per stage and parameter-free shortcuts (option A).
 */
import type { Model } from '../model.ts'
import {
  heFanIn,
  heFanOut,
  type Layers,
  type NetOptions,
  netDefaults,
  network,
  scaled,
  torchDefault,
  type Val,
} from './_builder.ts'

export interface ResnetOptions extends NetOptions {
  /** `cifar`: a first convolution of 3x3 without stride, and no pooling, for images of 32x32. */
  readonly stem?: 'imagenet' | 'cifar'
}

/** 11,689,512 parameters for 1000 classes. */
export function resnet18(options: ResnetOptions = {}): Model {
  return resnet('resnet18', { depths: [2, 2, 2, 2], block: basic, expansion: 1 }, options)
}

/** 25,557,032 parameters for 1000 classes. */
export function resnet50(options: ResnetOptions = {}): Model {
  return resnet('resnet50', { depths: [3, 4, 6, 3], block: bottleneck, expansion: 4 }, options)
}

interface BlockOptions {
  readonly channels: number
  readonly stride: number
}

interface Form {
  readonly depths: readonly number[]
  readonly expansion: number
  block(b: Layers, x: Val, name: string, how: BlockOptions): Val
}

function resnet(name: string, { depths, block, expansion }: Form, options: ResnetOptions): Model {
  const { stem = 'imagenet', ...rest } = options
  const o = netDefaults(rest)
  return network(name, o, { conv: heFanOut, linear: torchDefault, bias: 'torch' }, (b, input) => {
    const small = stem === 'cifar'
    const first = small ? { kernel: 3, stride: 1, pad: 1 } : { kernel: 7, stride: 2, pad: 3 }
    let x = b.relu(normed(b, input, ['conv1', 'bn1'], { out: scaled(64, o.width), ...first }))
    if (!small) x = b.maxPool(x, { kernel: 3, stride: 2, pad: 1 })
    depths.forEach((depth, stage) => {
      const channels = scaled(64 * 2 ** stage, o.width)
      for (let i = 0; i < depth; i++) {
        const stride = stage > 0 && i === 0 ? 2 : 1
        const at = `layer${stage + 1}.${i}`
        const same = stride === 1 && x.shape[0] === channels * expansion
        const down = [`${at}.downsample.0`, `${at}.downsample.1`] as const
        const shortcut = same ? x : normed(b, x, down, { out: channels * expansion, kernel: 1, stride, pad: 0 })
        x = b.relu(b.add(block(b, x, at, { channels, stride }), shortcut))
      }
    })
    return b.linear(b.globalPool(x), 'fc', o.classes)
  })
}

interface NormedOptions {
  readonly out: number
  readonly kernel: number
  readonly stride: number
  readonly pad: number
}

function normed(b: Layers, x: Val, [conv, norm]: readonly [string, string], how: NormedOptions): Val {
  return b.batchNorm(b.conv(x, conv, { ...how, bias: false }), norm)
}

function basic(b: Layers, x: Val, name: string, { channels, stride }: BlockOptions): Val {
  const three = { out: channels, kernel: 3, pad: 1 }
  const y = b.relu(normed(b, x, [`${name}.conv1`, `${name}.bn1`], { ...three, stride }))
  return normed(b, y, [`${name}.conv2`, `${name}.bn2`], { ...three, stride: 1 })
}

function bottleneck(b: Layers, x: Val, name: string, { channels, stride }: BlockOptions): Val {
  const one = { kernel: 1, stride: 1, pad: 0 }
  let y = b.relu(normed(b, x, [`${name}.conv1`, `${name}.bn1`], { out: channels, ...one }))
  y = b.relu(normed(b, y, [`${name}.conv2`, `${name}.bn2`], { out: channels, kernel: 3, stride, pad: 1 }))
  return normed(b, y, [`${name}.conv3`, `${name}.bn3`], { out: 4 * channels, ...one })
}

const cifarDepths = [20, 32, 44, 56, 110] as const

/** ResNet-20 has 269,722 parameters, ResNet-56 853,018. */
export function cifarResnet(depth: (typeof cifarDepths)[number], options: NetOptions = {}): Model {
  if (!cifarDepths.includes(depth)) {
    throw new Error(`resnet: there is no CIFAR ResNet of depth ${depth}; expected ${cifarDepths.join(', ')}`)
  }
  const o = netDefaults(options, { classes: 10, inputShape: [3, 32, 32] })
  const init = { conv: heFanIn, linear: heFanIn, bias: 'torch' } as const
  return network(`resnet${depth}`, o, init, (b, input) => {
    const three = { kernel: 3, stride: 1, pad: 1 }
    let x = b.relu(normed(b, input, ['conv1', 'bn1'], { out: scaled(16, o.width), ...three }))
    for (let stage = 0; stage < 3; stage++) {
      // Of the first stage's channels, whatever rounding made them, each stage has twice the one before.
      const channels = scaled(16, o.width) * 2 ** stage
      for (let i = 0; i < (depth - 2) / 6; i++) {
        const stride = stage > 0 && i === 0 ? 2 : 1
        const shortcut = stride === 1 ? x : b.shortcutA(x, channels)
        x = b.relu(b.add(basic(b, x, `layer${stage + 1}.${i}`, { channels, stride }), shortcut))
      }
    }
    return b.linear(b.globalPool(x), 'linear', o.classes)
  })
}
