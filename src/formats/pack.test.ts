/** Real models pack byte for byte, and smaller than brotli makes them; and how large a packed file would be. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { model } from '../graph/build.ts'
import { type Model, type Tensor, withWeights } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { zoo } from '../zoo/index.ts'
import { encodeIntegers } from './entropy/integer-coder.ts'
import { packedSizeOn, packModel } from './pack.ts'
import { unpackModel } from './unpack.ts'

const folder = process.env.COPPICE_MODELS

const constantLike = (tensor: Tensor): Tensor => ({ ...tensor, data: tensor.data.slice().fill(0) })

describe.skipIf(!folder)('packing real models (set COPPICE_MODELS)', () => {
  const files = folder ? readdirSync(folder).filter((f) => f.endsWith('.onnx')) : []
  it.each(files)('%s comes back byte for byte, smaller than brotli makes it', (file) => {
    const onnx = writeModel(readModel(readFileSync(join(folder as string, file))))
    // The large ones in the fast mode: this is about exactness, and time is short.
    const packed = packModel(readModel(onnx), { mode: onnx.length < 600_000 ? 'default' : 'fast' })
    expect(Buffer.compare(writeModel(unpackModel(packed)), onnx)).toBe(0)
    if (onnx.length < 500_000) expect(packed.length).toBeLessThan(brotliCompressSync(onnx).length)
  })
})

describe('packedSizeOn', () => {
  it.each(['lenet5', 'resnet20'] as const)('is the length of what %s packs to', async (name) => {
    const net = zoo[name].build({ seed: 1 })
    expect(await packedSizeOn(net, { mode: 'fast' })).toBe(packModel(net, { mode: 'fast' }).length)
  })
})

describe('what a tensor takes', () => {
  const bytesOf = (net: Model): Map<string, number> => {
    const bytes = new Map<string, number>()
    packModel(net, { onTensor: ({ name }, n) => bytes.set(name, n) })
    return bytes
  }
  const weights = (name: string, seed: number, levels: number) => {
    const rng = random(seed)
    return floatTensor(
      name,
      [64, 64, 3, 3],
      Float32Array.from({ length: 36864 }, () => Math.round(levels * rng.normal()) / 64),
    )
  }
  const around = (tensors: readonly Tensor[]): Model =>
    model({ nodes: [], initializers: new Map(tensors.map((t) => [t.name, t])), inputs: [], outputs: [] })

  it('is told for all of them, and adds up to the file but for its graph', () => {
    const net = zoo.resnet20.build({ seed: 1 })
    const bytes = bytesOf(net)
    expect([...bytes.keys()].sort()).toEqual([...net.graph.initializers.keys()].sort())
    const all = [...bytes.values()].reduce((a, b) => a + b, 0)
    const graph = packModel(withWeights(net, [...net.graph.initializers.values()].map(constantLike))).length
    expect(Math.abs(packModel(net).length - graph - all)).toBeLessThan(0.01 * all)
  })

  it('is less for fewer levels, and next to nothing for what came before', () => {
    const fine = weights('fine', 1, 40)
    const coarse = weights('coarse', 2, 4)
    const bytes = bytesOf(around([fine, coarse, { ...fine, name: 'again' }]))
    const [ofFine, ofCoarse, ofCopy] = ['fine', 'coarse', 'again'].map((name) => bytes.get(name) as number)
    // By the entropy of normal values rounded: log2(sigma * sqrt(2 * pi * e)) bits.
    expect(ofFine / (36864 / 8)).toBeCloseTo(Math.log2(40 * Math.sqrt(2 * Math.PI * Math.E)), 0)
    expect(ofCoarse / (36864 / 8)).toBeCloseTo(Math.log2(4 * Math.sqrt(2 * Math.PI * Math.E)), 0)
    expect(ofCopy).toBeLessThan(8)
  })
})

describe('weights of few levels', () => {
  // Much of them repeats, which takes few bits as integers too.
  it.each([{ shape: [64, 64, 3, 3] }, { shape: [1, 512, 257] }, { shape: [48, 32, 3, 3] }])(
    'of $shape are coded as integers',
    ({ shape }) => {
      const rng = random(7)
      const size = shape.reduce((a, b) => a * b, 1)
      const levels = Int32Array.from({ length: size }, () => Math.round(0.7 * rng.normal()))
      const tensor = floatTensor('w', shape, Float32Array.from(levels))
      const net = model({ nodes: [], initializers: new Map([['w', tensor]]), inputs: [], outputs: [] })
      expect(packModel(net).length).toBeLessThan(1.01 * encodeIntegers(levels, shape).length + 100)
    },
  )
})
