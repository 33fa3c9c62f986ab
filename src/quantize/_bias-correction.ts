/**
 * Empirical bias correction (Nagel et al. 2019, arXiv:1906.04721, section 4.2): the mean over calibration inputs of what
 * rounding a layer's weights and input adds to each output channel, subtracted from its bias.
 *
 * Each layer is compared with itself on the float model's own values, so that one run over one model serves all layers
 * and no layer corrects the shift that an earlier one already subtracts.
 */
import { node } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import type { Context, Feeds } from '../method.ts'
import { type Model, type Node, opsetOf } from '../model.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { floatsOf, reduceToChannels } from './_calibrate.ts'
import type { Range } from './_histogram.ts'
import type { Plan } from './_plan.ts'
import { dequantizeWeight, type QuantizedLayer, scaleOfValue } from './_qdq.ts'

/** For each layer that has a bias or can get one: what to add to it, one value per channel. */
export async function biasCorrections(
  model: Model,
  parts: { plan: Plan; ranges: ReadonlyMap<string, Range>; layers: ReadonlyMap<Node, QuantizedLayer> },
  options: { batches: Iterable<Feeds>; context: Context; subject: string },
): Promise<Map<Node, Float32Array>> {
  const edit = editGraph(model)
  const { fresh, store } = edit
  const nodes: Node[] = []
  const layerOf = new Map<string, Node>()
  for (const [layer, quantized] of parts.layers) {
    if (layer.op === 'MatMul') continue
    const [x, y] = [layer.inputs[0], layer.outputs[0]]
    const { scale, zeroPoint } = scaleOfValue(x, parts.plan, parts.ranges)
    const parameters = [
      store(floatTensor(fresh(`${x}_scale`), [], [scale])),
      store(integerTensor(fresh(`${x}_zero_point`), 'uint8', [], [zeroPoint])),
    ]
    const weight = store({
      ...dequantizeWeight(quantized.weight, quantized, quantized.axis),
      name: fresh(`${y}_rounded_weight`),
    })
    const [integers, rounded, result, difference, mean] = ['quantized', 'rounded', 'result', 'difference', 'mean'].map(
      (s) => fresh(`${y}_${s}`),
    )
    // A dense layer's output has two axes, as its weights.
    const rank = quantized.weight.dims.length
    nodes.push(
      node('QuantizeLinear', [x, ...parameters], [integers]),
      node('DequantizeLinear', [integers, ...parameters], [rounded]),
      { ...layer, name: fresh(`${y}_rounded`), inputs: [rounded, weight, ...layer.inputs.slice(2)], outputs: [result] },
      node('Sub', [y, result], [difference]),
      reduceToChannels('ReduceMean', [difference, mean], { rank, opset: opsetOf(model), fresh, store }),
    )
    layerOf.set(mean, layer)
  }
  if (layerOf.size === 0) return new Map()
  const sums = new Map<Node, { sum: Float64Array; samples: number }>()
  await floatsOf(edit.extended(nodes), [...layerOf.keys()], options, (name, values, feeds) => {
    // A sample that is not finite (a logarithm of nothing) spoils the mean of its batch, and tells nothing of the layer.
    if (!values.every(Number.isFinite)) return
    const layer = layerOf.get(name) as Node
    const entry = sums.get(layer) ?? { sum: new Float64Array(values.length), samples: 0 }
    // The last batch may be smaller: a mean counts as often as it has samples.
    const samples = Object.values(feeds)[0].dims[0] ?? 1
    for (let c = 0; c < values.length; c++) entry.sum[c] += values[c] * samples
    entry.samples += samples
    sums.set(layer, entry)
  })
  return new Map([...sums].map(([layer, { sum, samples }]) => [layer, Float32Array.from(sum, (s) => s / samples)]))
}
