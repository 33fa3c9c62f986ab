/** ShuffleNetV2, torchvision's form: Ma et al. 2018 (arXiv:1807.11164). */
import type { Model } from '../model.ts'
import { type Layers, type NetOptions, netDefaults, network, scaled, torchDefault, type Val } from './_builder.ts'

export interface ShufflenetOptions extends NetOptions {
  /** `cifar`: no stride in the first convolution and no pooling after it, for images of 32x32. */
  readonly stem?: 'imagenet' | 'cifar'
}

/** Channels of the three stages by width, from the paper's table 5. */
const tabled: Readonly<Record<number, readonly [number, number, number]>> = {
  0.5: [48, 96, 192],
  1: [116, 232, 464],
  1.5: [176, 352, 704],
  2: [244, 488, 976],
}

/** 2,278,604 parameters for 1000 classes. */
export function shufflenetV2(options: ShufflenetOptions = {}): Model {
  const { stem = 'imagenet', ...rest } = options
  const o = netDefaults(rest)
  // Other widths: an even number of channels, doubled from stage to stage.
  const base = 2 * scaled(58, o.width)
  const channels = tabled[o.width] ?? [base, 2 * base, 4 * base]
  const last = o.width === 2 ? 2048 : 1024
  const init = { conv: torchDefault, linear: torchDefault, bias: 'torch' } as const
  return network('shufflenetV2', o, init, (b, input) => {
    const small = stem === 'cifar'
    let x = b.conv(input, 'conv1.0', { out: 24, kernel: 3, stride: small ? 1 : 2, pad: 1, bias: false })
    x = b.relu(b.batchNorm(x, 'conv1.1'))
    if (!small) x = b.maxPool(x, { kernel: 3, stride: 2, pad: 1 })
    for (const [stage, blocks] of [4, 8, 4].entries()) {
      for (let i = 0; i < blocks; i++) {
        const name = `stage${stage + 2}.${i}`
        x = i === 0 ? reducing(b, x, name, channels[stage]) : keeping(b, x, name)
      }
    }
    x = b.relu(b.batchNorm(b.conv(x, 'conv5.0', { out: last, kernel: 1, bias: false }), 'conv5.1'))
    return b.linear(b.globalPool(x), 'fc', o.classes)
  })
}

/** Half of the channels pass unchanged. */
function keeping(b: Layers, x: Val, name: string): Val {
  const [passed, changed] = b.split(x)
  return b.shuffle(b.concat(passed, branch2(b, changed, `${name}.branch2`, { out: x.shape[0] / 2, stride: 1 })), 2)
}

/** Both branches see all channels and halve the image. */
function reducing(b: Layers, x: Val, name: string, channels: number): Val {
  const out = channels / 2
  let left = depthwise(b, x, `${name}.branch1.0`, 2)
  left = b.batchNorm(left, `${name}.branch1.1`)
  left = b.conv(left, `${name}.branch1.2`, { out, kernel: 1, bias: false })
  left = b.relu(b.batchNorm(left, `${name}.branch1.3`))
  return b.shuffle(b.concat(left, branch2(b, x, `${name}.branch2`, { out, stride: 2 })), 2)
}

function branch2(b: Layers, x: Val, name: string, { out, stride }: { out: number; stride: number }): Val {
  let y = b.relu(b.batchNorm(b.conv(x, `${name}.0`, { out, kernel: 1, bias: false }), `${name}.1`))
  y = b.batchNorm(depthwise(b, y, `${name}.3`, stride), `${name}.4`)
  y = b.conv(y, `${name}.5`, { out, kernel: 1, bias: false })
  return b.relu(b.batchNorm(y, `${name}.6`))
}

function depthwise(b: Layers, x: Val, name: string, stride: number): Val {
  return b.conv(x, name, { out: x.shape[0], kernel: 3, stride, pad: 1, groups: x.shape[0], bias: false })
}
