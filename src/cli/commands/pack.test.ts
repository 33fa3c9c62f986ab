/** What `coppice pack` says of a model whose weights lie in a file of their own. */
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import { afterAll, expect, it } from 'vitest'
import { unpackOnnx } from '../../formats/unpack.ts'
import { openModel, saveModel } from '../../node/files.ts'
import { writeModel } from '../../onnx/write.ts'
import { createIo } from '../io.ts'
import { runPack } from './pack.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-pack-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('counts external data as bytes of the model', async () => {
  const model = openModel(join(import.meta.dirname, '../../../models/digits-lenet5.onnx'))
  const path = join(folder, 'net.onnx')
  const [, data] = await saveModel(path, model, { externalFromBytes: 1 })
  const output = join(folder, 'net.cop')
  const results: Record<string, unknown>[] = []
  const io = { ...createIo(true), result: (_: string, value: unknown) => void results.push(value as never) }
  await runPack(path, { output, mode: 'fast', compareSizes: true, threads: undefined }, io)
  const bytes = statSync(path).size + statSync(data).size
  expect(statSync(data).size).toBeGreaterThan(100_000)
  const brotli = brotliCompressSync(Buffer.concat([readFileSync(path), readFileSync(data)]), {
    params: { [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS },
  }).byteLength
  expect(results).toMatchObject([{ bytes, packedBytes: statSync(output).size }])
  expect(Number(results[0].brotliBytes) / brotli).toBeCloseTo(1, 1)
  expect(Buffer.compare(unpackOnnx(readFileSync(output)), writeModel(model))).toBe(0)
})
