/** VGG-16 and VGG-19, torchvision's form: Simonyan and Zisserman 2014 (arXiv:1409.1556), configurations D and E. */
import type { Model } from '../model.ts'
import { heFanOut, type NetOptions, netDefaults, network, normal001, scaled } from './_builder.ts'

export interface VggOptions extends NetOptions {
  /** BatchNormalization after each convolution; default false. */
  readonly batchNorm?: boolean
  /** Side of the map that the dense layers get; default 7, whatever the input. 1 suits 32x32 images. */
  readonly pooled?: number
  /** Hidden dense layers; default [4096, 4096], [] leaves one layer. */
  readonly hidden?: readonly number[]
  /** Dropout after each hidden layer; default 0.5, 0 leaves it out. */
  readonly dropout?: number
}

/** 138,357,544 parameters for 1000 classes. */
export function vgg16(options: VggOptions = {}): Model {
  return vgg('vgg16', [2, 2, 3, 3, 3], options)
}

/** 143,667,240 parameters for 1000 classes. */
export function vgg19(options: VggOptions = {}): Model {
  return vgg('vgg19', [2, 2, 4, 4, 4], options)
}

function vgg(name: string, depths: readonly number[], options: VggOptions): Model {
  const { batchNorm = false, pooled = 7, hidden = [4096, 4096], dropout = 0.5, ...rest } = options
  const o = netDefaults(rest)
  return network(name, o, { conv: heFanOut, linear: normal001, bias: 'zero' }, (b, input) => {
    let x = input
    let index = 0 // torchvision numbers every layer, with or without weights
    depths.forEach((depth, stage) => {
      const out = scaled([64, 128, 256, 512, 512][stage], o.width)
      for (let i = 0; i < depth; i++) {
        x = b.conv(x, `features.${index++}`, { out, kernel: 3, pad: 1 })
        if (batchNorm) x = b.batchNorm(x, `features.${index++}`)
        x = b.relu(x)
        index++
      }
      x = b.maxPool(x, { kernel: 2 })
      index++
    })
    x = b.flatten(b.adaptivePool(x, pooled))
    hidden.forEach((units, i) => {
      x = b.relu(b.linear(x, `classifier.${3 * i}`, scaled(units, o.width)))
      if (dropout > 0) x = b.dropout(x, dropout)
    })
    return b.linear(x, `classifier.${3 * hidden.length}`, o.classes)
  })
}
