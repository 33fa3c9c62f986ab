/** Whether a layer's factors run faster than the layer, measured side by side in ONNX Runtime. */
import { measureLatency } from '../evaluate/latency.ts'
import { model as makeModel, valueInfo } from '../graph/build.ts'
import { editGraph } from '../graph/edit.ts'
import { type Model, type Node, opsetOf, type Tensor } from '../model.ts'
import type { Shapes } from '../ops/shape.ts'
import { openSession } from '../runtime/session.ts'
import { speedVerdict } from '../speed-up.ts'
import { floatTensor, sizeOf, tensorOfFloats } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { type FactorLayer, type Factors, putFactors, swapped } from './_layers.ts'

/** Time for one layer, in milliseconds: measuring ends earlier where the answer is clear. */
const maxMs = 2000

/** What is not known of a layer's input: one sample, images of 32 x 32. */
const usual = { samples: 1, places: 32 }

/** The layer alone beside its factors alone, in float32, on one random input. */
export async function isFaster(
  model: Model,
  layer: FactorLayer,
  { factors, shapes, signal }: { readonly factors: Factors; readonly shapes: Shapes; readonly signal?: AbortSignal },
): Promise<boolean> {
  const [node] = layer.nodes
  const whole = alone(model, layer, shapes)
  const edit = editGraph(whole.model)
  putFactors(whole.model, edit, whole.layer, factors)
  const factorised = edit.finish()
  const rng = random(1)
  const data = Float32Array.from({ length: sizeOf(whole.dims) }, () => rng.normal())
  const feeds = { [node.inputs[0]]: { dtype: 'float32', dims: whole.dims, data } }
  const contenders = [whole.model, factorised].map((m, i) => ({ name: `${i}`, feeds, open: () => openSession(m) }))
  const [, { speedUp }] = await measureLatency(contenders, { maxMs, signal })
  return speedVerdict(speedUp) === 'faster'
}

/** A model of the layer's first node and nothing else. */
function alone(
  model: Model,
  layer: FactorLayer,
  shapes: Shapes,
): { readonly model: Model; readonly layer: FactorLayer; readonly dims: readonly number[] } {
  const { op, groups, outputs, inputs, kernel, weights } = layer
  const [{ inputs: names, outputs: made, attributes }] = layer.nodes
  const [input] = names
  const known = shapes.values.get(input)?.shape ?? Array.from({ length: kernel.length + 2 }, () => undefined)
  const channels = op === 'Conv' ? 1 : known.length - 1
  const dims = known.map((d, axis) =>
    axis === channels ? inputs * groups : typeof d === 'number' ? d : axis > channels ? usual.places : usual.samples,
  )
  const turned = op === 'MatMul' || (op === 'Gemm' && attributes.transB?.type !== 'int')
  const stored: Tensor[] = [
    op === 'Conv'
      ? tensorOfFloats('w', 'float32', [groups * outputs, inputs, ...kernel], weights)
      : turned
        ? tensorOfFloats('w', 'float32', [inputs, outputs], swapped(weights, outputs, inputs))
        : tensorOfFloats('w', 'float32', [outputs, inputs], weights),
  ]
  if (names[2]) stored.push(floatTensor('b', [groups * outputs], new Float32Array(groups * outputs)))
  const node: Node = { ...layer.nodes[0], inputs: [input, ...stored.map((t) => t.name)] }
  const graph = {
    nodes: [node],
    initializers: new Map(stored.map((t) => [t.name, t])),
    inputs: [valueInfo(input, 'float32', dims)],
    outputs: [valueInfo(made[0], 'float32')],
  }
  return { model: makeModel(graph, opsetOf(model)), layer: { ...layer, nodes: [node], dtype: 'float32' }, dims }
}
