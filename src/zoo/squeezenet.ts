/** SqueezeNet 1.1, torchvision's form: Iandola et al. 2016 (arXiv:1602.07360). */
import type { Model } from '../model.ts'
import {
  heUniform,
  type Layers,
  type NetOptions,
  netDefaults,
  network,
  normal001,
  scaled,
  type Val,
} from './_builder.ts'

export interface SqueezenetOptions extends NetOptions {
  /** `cifar`: no stride in the first convolution and no pooling after it, for images of 32x32. */
  readonly stem?: 'imagenet' | 'cifar'
  /** Default 0.5; 0 leaves it out. */
  readonly dropout?: number
}

/** Layer number in `features`, squeezed channels, channels of each expansion; a pooling comes before 6 and 9. */
const fires = [
  [3, 16, 64],
  [4, 16, 64],
  [6, 32, 128],
  [7, 32, 128],
  [9, 48, 192],
  [10, 48, 192],
  [11, 64, 256],
  [12, 64, 256],
] as const

/** 1,235,496 parameters for 1000 classes. */
export function squeezenet1_1(options: SqueezenetOptions = {}): Model {
  const { stem = 'imagenet', dropout = 0.5, ...rest } = options
  const o = netDefaults(rest)
  return network('squeezenet1_1', o, { conv: heUniform, linear: normal001, bias: 'zero' }, (b, input) => {
    const first = { out: scaled(64, o.width), kernel: 3 }
    let x = input
    if (stem === 'cifar') x = b.relu(b.conv(x, 'features.0', { ...first, pad: 1 }))
    else {
      x = b.relu(b.conv(x, 'features.0', { ...first, stride: 2 }))
      x = b.maxPool(x, { kernel: 3, stride: 2, ceil: true })
    }
    for (const [index, squeezed, expanded] of fires) {
      if (index === 6 || index === 9) x = b.maxPool(x, { kernel: 3, stride: 2, ceil: true })
      x = fire(b, x, `features.${index}`, [scaled(squeezed, o.width), scaled(expanded, o.width)])
    }
    if (dropout > 0) x = b.dropout(x, dropout)
    return b.globalPool(b.relu(b.conv(x, 'classifier.1', { out: o.classes, kernel: 1, init: normal001 })))
  })
}

function fire(b: Layers, x: Val, name: string, [squeezed, expanded]: readonly [number, number]): Val {
  const s = b.relu(b.conv(x, `${name}.squeeze`, { out: squeezed, kernel: 1 }))
  const one = b.relu(b.conv(s, `${name}.expand1x1`, { out: expanded, kernel: 1 }))
  const three = b.relu(b.conv(s, `${name}.expand3x3`, { out: expanded, kernel: 3, pad: 1 }))
  return b.concat(one, three)
}
