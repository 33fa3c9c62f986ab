/** AlexNet, torchvision's form: Krizhevsky 2014 (arXiv:1404.5997), one column. */
import type { Model } from '../model.ts'
import { type NetOptions, netDefaults, network, scaled, torchDefault } from './_builder.ts'

export interface AlexnetOptions extends NetOptions {
  /** Side of the map that the dense layers get; default 6, whatever the input, as torchvision pools (or repeats) it. */
  readonly pooled?: number
  /** Dropout before the dense layers; default 0.5, 0 leaves it out. */
  readonly dropout?: number
}

/** 61,100,840 parameters for 1000 classes. Inputs of 63x63 pixels or more. */
export function alexnet(options: AlexnetOptions = {}): Model {
  const { pooled = 6, dropout = 0.5, ...rest } = options
  const o = netDefaults(rest)
  const c = (channels: number): number => scaled(channels, o.width)
  return network('alexnet', o, { conv: torchDefault, linear: torchDefault, bias: 'torch' }, (b, input) => {
    let x = b.relu(b.conv(input, 'features.0', { out: c(64), kernel: 11, stride: 4, pad: 2 }))
    x = b.maxPool(x, { kernel: 3, stride: 2 })
    x = b.relu(b.conv(x, 'features.3', { out: c(192), kernel: 5, pad: 2 }))
    x = b.maxPool(x, { kernel: 3, stride: 2 })
    x = b.relu(b.conv(x, 'features.6', { out: c(384), kernel: 3, pad: 1 }))
    x = b.relu(b.conv(x, 'features.8', { out: c(256), kernel: 3, pad: 1 }))
    x = b.relu(b.conv(x, 'features.10', { out: c(256), kernel: 3, pad: 1 }))
    x = b.flatten(b.adaptivePool(b.maxPool(x, { kernel: 3, stride: 2 }), pooled))
    x = b.relu(b.linear(dropout > 0 ? b.dropout(x, dropout) : x, 'classifier.1', c(4096)))
    x = b.relu(b.linear(dropout > 0 ? b.dropout(x, dropout) : x, 'classifier.4', c(4096)))
    return b.linear(x, 'classifier.6', o.classes)
  })
}
