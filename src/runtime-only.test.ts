/** The decoder alone: what it exports works, and its size stays within bounds. */
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { describe, expect, it } from 'vitest'
import { packModel } from './formats/pack.ts'
import type { Model } from './model.ts'
import { writeModel } from './onnx/write.ts'
import { decodeCop, loadCop, loadSession } from './runtime-only.ts'
import { floatTensor } from './tensor/dtype.ts'

const model: Model = {
  irVersion: 8,
  opsets: [{ domain: '', version: 17 }],
  graph: {
    name: 'g',
    nodes: [{ op: 'Gemm', inputs: ['x', 'w'], outputs: ['y'], attributes: {} }],
    initializers: new Map([
      [
        'w',
        floatTensor(
          'w',
          [40, 30],
          Float32Array.from({ length: 1200 }, (_, i) => Math.sin(i)),
        ),
      ],
    ]),
    inputs: [{ name: 'x', dtype: 'float32', shape: ['n', 40] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['n', 30] }],
  },
}

describe('coppice/runtime', () => {
  it('decodes and loads', async () => {
    const onnx = writeModel(model)
    const packed = packModel(model)
    expect(decodeCop(packed)).toEqual(onnx)
    const fetch = async (url: string) =>
      new Response(url === '/a.cop' ? new Uint8Array(packed) : 'no', { status: url === '/a.cop' ? 200 : 404 })
    expect(await loadCop('/a.cop', { fetch })).toEqual(onnx)
    expect(await loadCop(packed)).toEqual(onnx)
    const ort = { InferenceSession: { create: async (bytes: Uint8Array, options?: string) => ({ bytes, options }) } }
    expect(await loadSession(ort, packed, 'options')).toEqual({ bytes: onnx, options: 'options' })
    await expect(loadCop('/b.cop', { fetch })).rejects.toThrow('/b.cop answered with status 404')
    const broken = () => Promise.reject(new TypeError('network down'))
    await expect(loadCop('/c.cop', { fetch: broken })).rejects.toThrow('cop: /c.cop could not be read (network down)')
  })

  // As a page has it: Vite leaves the spaces in modules of a library, for those who bundle them again.
  it('is at most 30 KB, minified and gzipped, with its WebAssembly', async () => {
    const result = await build({
      configFile: false,
      logLevel: 'silent',
      build: {
        write: false,
        lib: {
          entry: fileURLToPath(new URL('runtime-only.ts', import.meta.url)),
          formats: ['iife'],
          name: 'runtime',
          fileName: 'runtime',
        },
      },
    })
    const outputs = (Array.isArray(result) ? result : [result]) as { output: { code?: string }[] }[]
    const code = outputs.flatMap((r) => r.output.map((o) => o.code ?? '')).join('')
    expect(code.length).toBeGreaterThan(10_000)
    expect(gzipSync(code).length).toBeLessThan(30 * 1024)
    console.log(`runtime: ${gzipSync(code).length} bytes gzipped`)
  })
})
