/**
 * Large models for the benches, seeded: ResNet-50 and VGG-16 of the zoo with weights distributed as trained ones are, and a
 * chain of dense layers whose 2.5 GB of weights lie in a file of their own.
 */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { basename } from 'node:path'
import { model, node, valueInfo } from '../src/graph/build.ts'
import { type Model, type Tensor, withWeights } from '../src/model.ts'
import { saveModel } from '../src/node/files.ts'
import { writeModelChunks } from '../src/onnx/write.ts'
import { bytesOf, floats, floatTensor } from '../src/tensor/dtype.ts'
import { random } from '../src/tensor/random.ts'
import { zoo } from '../src/zoo/index.ts'

/**
 * Weights of the size that the network starts with, each filter at a scale of its own: most are from a normal distribution, three
 * in ten from a narrow one, as trained filters have. Each is drawn for itself: numbers that are used again at another scale are
 * the same integers once they are quantised, and no trained network repeats itself.
 */
function trained(tensor: Tensor, seed: number): Tensor {
  const rng = random(seed)
  const before = floats(tensor)
  let sum = 0
  for (const v of before) sum += v * v
  const size = Math.sqrt(sum / before.length)
  const values = new Float32Array(before.length)
  const row = before.length / tensor.dims[0]
  for (let r = 0; r < tensor.dims[0]; r++) {
    const scale = size * Math.exp(0.4 * rng.normal())
    for (let i = 0; i < row; i++) values[r * row + i] = scale * (rng.next() < 0.3 ? 0.3 : 1.2) * rng.normal()
  }
  return floatTensor(tensor.name, tensor.dims, values)
}

function trainedModel(net: Model): Model {
  const weights = [...net.graph.initializers.values()].filter((t) => t.dtype === 'float32' && t.dims.length > 1)
  return withWeights(
    net,
    weights.map((t, i) => trained(t, 100 + i)),
  )
}

/** A chain of dense layers, 64 MiB each, written a layer at a time: never all in memory. */
function writeChain(path: string, layers: number): void {
  const side = 4096
  const names = Array.from({ length: layers }, (_, i) => `w${i}`)
  // The layout of the data file is that of any weights of these sizes.
  const empty = new Float32Array(side * side)
  const net = model({
    nodes: names.map((w, i) => node('MatMul', [i === 0 ? 'x' : `y${i - 1}`, w], [`y${i}`])),
    initializers: new Map(names.map((name) => [name, floatTensor(name, [side, side], empty)])),
    inputs: [valueInfo('x', 'float32', ['N', side])],
    outputs: [valueInfo(`y${layers - 1}`, 'float32', ['N', side])],
  })
  const location = `${basename(path)}.data`
  const written = writeModelChunks(net, { external: { location, minBytes: 1024 } })
  writeFileSync(path, Buffer.concat(written.model.chunks))
  const file = openSync(`${path}.data`, 'w')
  const start = floatTensor('w', [side, side], empty.fill(1 / Math.sqrt(side)))
  for (let i = 0; i < layers; i++) writeSync(file, bytesOf(trained(start, 1000 + i).data))
  closeSync(file)
}

/** What makes each file. */
export const largeFiles: Readonly<Record<string, (path: string) => Promise<void>>> = {
  resnet50: async (path) => void (await saveModel(path, trainedModel(zoo.resnet50.build()))),
  vgg16: async (path) => void (await saveModel(path, trainedModel(zoo.vgg16.build()))),
  // 39 x 64 MiB.
  'chain-2.5gb': async (path) => writeChain(path, 39),
}
