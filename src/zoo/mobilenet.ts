/** MobileNetV2, torchvision's form: Sandler et al. 2018 (arXiv:1801.04381). */
import type { Model } from '../model.ts'
import { heFanOut, type Layers, type NetOptions, netDefaults, network, normal001, type Val } from './_builder.ts'

export interface MobilenetOptions extends NetOptions {
  /** Strides of the first convolution and of the seven stages; default 2, 1, 2, 2, 2, 1, 2, 1. */
  readonly strides?: readonly number[]
  /** Default 0.2; 0 leaves it out. */
  readonly dropout?: number
}

const imagenetStrides = [2, 1, 2, 2, 2, 1, 2, 1]
/** For images of 32x32: the first two reductions are left out. */
export const cifarStrides: readonly number[] = [1, 1, 1, 2, 2, 1, 2, 1]

/** Each stage's expansion, channels and blocks. */
const stages = [
  [1, 16, 1],
  [6, 24, 2],
  [6, 32, 3],
  [6, 64, 4],
  [6, 96, 3],
  [6, 160, 3],
  [6, 320, 1],
] as const

/** 3,504,872 parameters for 1000 classes. */
export function mobilenetV2(options: MobilenetOptions = {}): Model {
  const { strides = imagenetStrides, dropout = 0.2, ...rest } = options
  if (strides.length !== 8)
    throw new Error(`mobilenetV2: ${strides.length} strides; expected 8, of the stem and 7 stages`)
  const o = netDefaults(rest)
  return network('mobilenetV2', o, { conv: heFanOut, linear: normal001, bias: 'zero' }, (b, input) => {
    const out = divisible(32 * o.width)
    let x = unit(b, input, 'features.0', { out, kernel: 3, stride: strides[0] })
    let index = 1
    stages.forEach(([expansion, channels, blocks], stage) => {
      for (let i = 0; i < blocks; i++) {
        const stride = i === 0 ? strides[stage + 1] : 1
        x = inverted(b, x, `features.${index++}.conv`, { expansion, out: divisible(channels * o.width), stride })
      }
    })
    x = unit(b, x, `features.${index}`, { out: divisible(1280 * Math.max(1, o.width)), kernel: 1, stride: 1 })
    x = b.globalPool(x)
    return b.linear(dropout > 0 ? b.dropout(x, dropout) : x, 'classifier.1', o.classes)
  })
}

interface UnitOptions {
  readonly out: number
  readonly kernel: number
  readonly stride: number
  readonly groups?: number
}

function unit(b: Layers, x: Val, name: string, how: UnitOptions): Val {
  const y = b.conv(x, `${name}.0`, { ...how, pad: (how.kernel - 1) / 2, bias: false })
  return b.relu6(b.batchNorm(y, `${name}.1`))
}

/** Expand, filter each channel, project; the input is added where the shape is kept. */
function inverted(
  b: Layers,
  x: Val,
  name: string,
  { expansion, out, stride }: { readonly expansion: number; readonly out: number; readonly stride: number },
): Val {
  const hidden = x.shape[0] * expansion
  let index = 0
  let y = x
  if (expansion !== 1) y = unit(b, y, `${name}.${index++}`, { out: hidden, kernel: 1, stride: 1 })
  y = unit(b, y, `${name}.${index++}`, { out: hidden, kernel: 3, stride, groups: hidden })
  y = b.batchNorm(b.conv(y, `${name}.${index}`, { out, kernel: 1, bias: false }), `${name}.${index + 1}`)
  return stride === 1 && x.shape[0] === out ? b.add(x, y) : y
}

/** The nearest multiple of 8, but not below 0.9 of the value (the paper's code rounds so). */
function divisible(channels: number): number {
  const rounded = Math.max(8, Math.floor((channels + 4) / 8) * 8)
  return rounded < 0.9 * channels ? rounded + 8 : rounded
}
