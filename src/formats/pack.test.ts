/** Real models pack byte for byte, and smaller than brotli makes them; and how large a packed file would be. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { zoo } from '../zoo/index.ts'
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
