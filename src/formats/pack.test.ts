/** Real models pack byte for byte, and smaller than brotli makes them; and how large a packed file would be. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { model } from '../graph/build.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { zoo } from '../zoo/index.ts'
import { encodeIntegers } from './entropy/integer-coder.ts'
import { packedSizeOn, packModel } from './pack.ts'
import { unpackModel } from './unpack.ts'

const folder = process.env.COPPICE_MODELS

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
