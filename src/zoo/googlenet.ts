/**
 * GoogLeNet with BatchNormalization, torchvision's form without auxiliary classifiers: Szegedy et al. 2014
 * (arXiv:1409.4842). As torchvision does, the "5x5" branch has 3x3 kernels.
 */
import type { Model } from '../model.ts'
import { type Layers, type NetOptions, netDefaults, network, normal001, scaled, type Val } from './_builder.ts'

export interface GooglenetOptions extends NetOptions {
  /** `cifar`: no stride in the first convolution and no pooling after it, for images of 32x32. */
  readonly stem?: 'imagenet' | 'cifar'
  /** Default 0.2; 0 leaves it out. */
  readonly dropout?: number
}

/** Channels of each inception block: 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pool projection. */
const blocks: readonly (readonly [name: string, ...channels: number[]])[] = [
  ['inception3a', 64, 96, 128, 16, 32, 32],
  ['inception3b', 128, 128, 192, 32, 96, 64],
  ['inception4a', 192, 96, 208, 16, 48, 64],
  ['inception4b', 160, 112, 224, 24, 64, 64],
  ['inception4c', 128, 128, 256, 24, 64, 64],
  ['inception4d', 112, 144, 288, 32, 64, 64],
  ['inception4e', 256, 160, 320, 32, 128, 128],
  ['inception5a', 256, 160, 320, 32, 128, 128],
  ['inception5b', 384, 192, 384, 48, 128, 128],
]

/** 6,624,904 parameters for 1000 classes. */
export function googlenet(options: GooglenetOptions = {}): Model {
  const { stem = 'imagenet', dropout = 0.2, ...rest } = options
  const o = netDefaults(rest)
  return network('googlenet', o, { conv: normal001, linear: normal001, bias: 'zero' }, (b, input) => {
    const small = stem === 'cifar'
    let x = unit(b, input, 'conv1', { out: scaled(64, o.width), kernel: 7, stride: small ? 1 : 2 })
    if (!small) x = b.maxPool(x, { kernel: 3, stride: 2, ceil: true })
    x = unit(b, x, 'conv2', { out: scaled(64, o.width), kernel: 1 })
    x = unit(b, x, 'conv3', { out: scaled(192, o.width), kernel: 3 })
    x = b.maxPool(x, { kernel: 3, stride: 2, ceil: true })
    for (const [name, ...channels] of blocks) {
      if (name === 'inception4a') x = b.maxPool(x, { kernel: 3, stride: 2, ceil: true })
      if (name === 'inception5a') x = b.maxPool(x, { kernel: 2, stride: 2, ceil: true })
      x = inception(
        b,
        x,
        name,
        channels.map((c) => scaled(c, o.width)),
      )
    }
    x = b.globalPool(x)
    return b.linear(dropout > 0 ? b.dropout(x, dropout) : x, 'fc', o.classes)
  })
}

function unit(
  b: Layers,
  x: Val,
  name: string,
  { out, kernel, stride = 1 }: { readonly out: number; readonly kernel: number; readonly stride?: number },
): Val {
  const y = b.conv(x, `${name}.conv`, { out, kernel, stride, pad: (kernel - 1) / 2, bias: false })
  return b.relu(b.batchNorm(y, `${name}.bn`, { epsilon: 1e-3 }))
}

function inception(b: Layers, x: Val, name: string, [one, red3, three, red5, five, proj]: readonly number[]): Val {
  const branch1 = unit(b, x, `${name}.branch1`, { out: one, kernel: 1 })
  let branch2 = unit(b, x, `${name}.branch2.0`, { out: red3, kernel: 1 })
  branch2 = unit(b, branch2, `${name}.branch2.1`, { out: three, kernel: 3 })
  let branch3 = unit(b, x, `${name}.branch3.0`, { out: red5, kernel: 1 })
  branch3 = unit(b, branch3, `${name}.branch3.1`, { out: five, kernel: 3 })
  const pooled = b.maxPool(x, { kernel: 3, stride: 1, pad: 1 })
  const branch4 = unit(b, pooled, `${name}.branch4.1`, { out: proj, kernel: 1 })
  return b.concat(branch1, branch2, branch3, branch4)
}
