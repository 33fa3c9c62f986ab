/**
 * DS-CNN for keyword spotting: Zhang et al. 2017 (arXiv:1711.07128), in the form and with the initialisation of
 * MLPerf Tiny's reference (Keras: Glorot uniform, BatchNormalization with epsilon 1e-3 and momentum 0.99).
 */
import type { Model } from '../model.ts'
import { type Init, type NetOptions, netDefaults, network, scaled } from './_builder.ts'

const glorot: Init = { kind: 'uniform', scale: (fanIn, fanOut) => Math.sqrt(6 / (fanIn + fanOut)) }

/** 23,756 trained parameters (24,908 with running statistics) for 12 words on maps of 49x10. */
export function dsCnn(options: NetOptions = {}): Model {
  const o = netDefaults(options, { classes: 12, inputShape: [1, 49, 10] })
  const norm = { epsilon: 1e-3, momentum: 0.99 }
  const out = scaled(64, o.width)
  const pad = samePads(o.inputShape, [10, 4], 2)
  return network('dsCnn', o, { conv: glorot, linear: glorot, bias: 'zero' }, (b, input) => {
    let x = b.conv(input, 'conv0', { out, kernel: [10, 4], stride: 2, pad })
    x = b.dropout(b.relu(b.batchNorm(x, 'bn0', norm)), 0.2)
    for (let i = 1; i <= 4; i++) {
      x = b.conv(x, `depthwise${i}`, { out, kernel: 3, pad: 1, groups: out })
      x = b.relu(b.batchNorm(x, `depthwise${i}.bn`, norm))
      x = b.relu(b.batchNorm(b.conv(x, `pointwise${i}`, { out, kernel: 1 }), `pointwise${i}.bn`, norm))
    }
    return b.linear(b.globalPool(b.dropout(x, 0.4)), 'fc', o.classes)
  })
}

/** TensorFlow's "same" padding: the output is the input over the stride, and an odd pixel goes below and right. */
function samePads(
  [, height, width]: readonly number[],
  [kernelHeight, kernelWidth]: readonly [number, number],
  stride: number,
): [number, number, number, number] {
  const total = (side: number, kernel: number): number =>
    Math.max(0, (Math.ceil(side / stride) - 1) * stride + kernel - side)
  const [down, right] = [total(height, kernelHeight), total(width, kernelWidth)]
  return [Math.floor(down / 2), Math.floor(right / 2), Math.ceil(down / 2), Math.ceil(right / 2)]
}
