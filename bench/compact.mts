/**
 * Does storing weights as integers cost time? The same ResNet-20 with float weights, with Cast and Mul (`compact`), and with
 * DequantizeLinear, interleaved, one thread, batch 1.
 *
 * Needs no data: a seeded network of the zoo. Run: npx tsx bench/compact.mts; writes bench/results/compact.json.
 */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { measureLatency } from '../src/evaluate/latency.ts'
import { replaceTensors, weightTensors } from '../src/graph/weights.ts'
import type { Model, Node, Tensor } from '../src/model.ts'
import { writeModel } from '../src/onnx/write.ts'
import { compact } from '../src/quantize/compact.ts'
import { openSession } from '../src/runtime/session.ts'
import { foldBatchNorm } from '../src/simplify/fold-batch-norm.ts'
import { floats, floatTensor, integerTensor } from '../src/tensor/dtype.ts'
import { cifarResnet } from '../src/zoo/resnet.ts'

const step = Math.fround(1 / 64)

/** Every weight on the grid of step 1/64. */
function onGrid(model: Model): Model {
  const grid = (t: Tensor): Tensor =>
    floatTensor(
      t.name,
      t.dims,
      floats(t).map((v) => Math.max(-127, Math.min(127, Math.round(v / step))) * step || 0),
    )
  return replaceTensors(model, new Map(weightTensors(model).map(({ tensor }) => [tensor, grid(tensor)])))
}

/** The weights that `compact` stores as Cast and Mul, as DequantizeLinear. */
function dequantized(model: Model): Model {
  const initializers = new Map(model.graph.initializers)
  const nodes = model.graph.nodes.flatMap((n, i): Node[] => {
    const next = model.graph.nodes[i + 1]
    if (n.op === 'Cast' && next?.op === 'Mul' && next.inputs[0] === n.outputs[0]) return []
    const before = model.graph.nodes[i - 1]
    if (n.op !== 'Mul' || before?.op !== 'Cast') return [n]
    const zero = `${n.inputs[1]}_zero`
    initializers.set(zero, integerTensor(zero, 'int8', [], [0]))
    return [{ ...n, op: 'DequantizeLinear', inputs: [before.inputs[0], n.inputs[1], zero], attributes: {} }]
  })
  return { ...model, graph: { ...model.graph, nodes, initializers } }
}

const float = onGrid(await foldBatchNorm(cifarResnet(20, { seed: 1 })))
const integers = await compact(float)
const forms: Record<string, Model> = { float, 'Cast and Mul': integers, DequantizeLinear: dequantized(integers) }
const data = Float32Array.from({ length: 3 * 32 * 32 }, (_, i) => Math.sin(i))
const contenders = []
for (const [name, model] of Object.entries(forms)) {
  contenders.push({
    name,
    open: () => openSession(model, { threads: 1 }),
    feeds: { input: { dtype: 'float32', dims: [1, 3, 32, 32], data } },
  })
}
const results = (await measureLatency(contenders, { precision: 0.005, maxMs: 60_000 })).map((l) => ({
  ...l,
  bytes: writeModel(forms[l.name]).byteLength,
}))
for (const { name, bytes, latencyMs, speedUp } of results)
  console.log(name, bytes, latencyMs.median.toFixed(3), speedUp.median.toFixed(2))
writeFileSync(
  join(import.meta.dirname, 'results/compact.json'),
  `${JSON.stringify({ command: 'npx tsx bench/compact.mts', machine: `${cpus()[0].model.trim()}, onnxruntime-node 1.30.0, Node ${process.version}`, results }, null, 2)}\n`,
)
