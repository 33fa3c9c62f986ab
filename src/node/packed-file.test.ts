/** Packing to files and unpacking from them: on threads, with weights beside the model, interrupted. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { packModel } from '../formats/pack.ts'
import { model as modelOf, node, valueInfo } from '../graph/build.ts'
import type { Model, Tensor } from '../model.ts'
import { type ExternalSource, readModel } from '../onnx/read.ts'
import { writeModel, writeModelChunks } from '../onnx/write.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { openModel, saveModel } from './files.ts'
import { openPackedFile, packToFile } from './packed-file.ts'
import { createPool, type Pool } from './pool.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-packed-'))
const at = (name: string): string => join(folder, name)
let pool: Pool
beforeAll(() => {
  pool = createPool(2)
})
afterAll(async () => {
  await pool.close()
  rmSync(folder, { recursive: true })
})

const rng = random(3)
const normal = (n: number): Float32Array => Float32Array.from({ length: n }, () => rng.normal())
const first = floatTensor('first', [1024, 1024], normal(2 ** 20))
const tensors: Tensor[] = [
  first,
  integerTensor('shape', 'int64', [2], [-1, 1024]),
  floatTensor(
    'grid',
    [1024, 64],
    normal(2 ** 16).map((v) => Math.round(v) * 0.25),
  ),
  { ...first, name: 'again' },
  floatTensor('zeros', [2100, 2048], new Float32Array(2100 * 2048)),
  floatTensor('bias', [64], normal(64)),
]
const net: Model = modelOf({
  nodes: [
    node('Reshape', ['x', 'shape'], ['r']),
    node('MatMul', ['r', 'first'], ['a']),
    node('Add', ['a', 'again'], ['b']),
    node('MatMul', ['b', 'grid'], ['c']),
    node('Add', ['c', 'bias'], ['y']),
  ],
  initializers: new Map(tensors.map((t) => [t.name, t])),
  inputs: [valueInfo('x', 'float32', [1024, 1024])],
  outputs: [valueInfo('y', 'float32', [1024, 64])],
})
const onnx = writeModel(net)

describe('on threads', () => {
  it('packs to the same bytes, and unpacks them', async () => {
    const alone = packModel(net)
    for (const workers of [undefined, pool]) {
      const path = at('net.cop')
      expect(await packToFile(path, net, { workers })).toBe(alone.length)
      expect(Buffer.compare(readFileSync(path), alone)).toBe(0)
      const packed = await openPackedFile(path, { workers })
      expect(packed.outputs(at('net.onnx'))).toEqual([at('net.onnx')])
      const shares: number[] = []
      await packed.unpack(at('net.onnx'), { progress: (share) => shares.push(share) })
      expect(Buffer.compare(readFileSync(at('net.onnx')), onnx)).toBe(0)
      expect(shares).toEqual(shares.toSorted((a, b) => a - b))
      expect(shares.at(-1)).toBe(1)
    }
    expect(readdirSync(folder).toSorted()).toEqual(['net.cop', 'net.onnx'])
  })

  it('tells what is wrong with a file by its name, and writes nothing', async () => {
    const bytes = packModel(net)
    bytes[bytes.length - 100] ^= 1
    writeFileSync(at('damaged.cop'), bytes)
    const packed = await openPackedFile(at('damaged.cop'), { workers: pool })
    await expect(packed.unpack(at('damaged.onnx'))).rejects.toThrow(`${at('damaged.cop')}: cop: the checksum of group`)
    expect(readdirSync(folder).filter((name) => /damaged.*onnx|tmp/.test(name))).toEqual([])
  })

  it('a task that fails rejects, and the thread goes on', async () => {
    const { decodeGroup } = await import('../formats/group-decoder.ts')
    const nothing = new Uint8Array(0)
    const info = { dtype: 'float32', dims: [8], size: 8, byteLength: 32 } as const
    const coded = { parameters: [] }
    const group = {
      index: 0,
      mode: 'fast',
      integers: nothing,
      raw: nothing,
      parts: [{ info, coding: 0, coded }],
    } as const
    await expect(pool.run(decodeGroup, group)).rejects.toThrow('raw bits end too soon')
    await expect(pool.run((x: number) => x, 1)).rejects.toThrow('a task that threads/tasks.ts does not list')
    expect(await pool.run(decodeGroup, { ...group, parts: [] })).toEqual([])
  })
})

describe('a model whose weights lie beside it', () => {
  it('comes out of a packed file beyond the limit, and runs', async () => {
    const path = at('large.cop')
    await packToFile(path, net)
    const packed = await openPackedFile(path, { workers: pool, externalFromBytes: 2 ** 20 })
    const inner = at('inner')
    mkdirSync(inner)
    const output = join(inner, 'large.onnx')
    expect(packed.outputs(output)).toEqual([output, `${output}.data`])
    await packed.unpack(output)
    // What saveModel writes of such a model, byte for byte.
    const [, saved] = await saveModel(at('saved.onnx'), net, { externalFromBytes: 1 })
    expect(Buffer.compare(readFileSync(`${output}.data`), readFileSync(saved))).toBe(0)
    expect(Buffer.compare(writeModel(openModel(output)), onnx)).toBe(0)
    const data = normal(2 ** 20)
    const run = (path: string) =>
      withSession(
        () => openSession(openModel(path)),
        (session) => session.run({ x: { dtype: 'float32', dims: [1024, 1024], data } }),
      )
    writeFileSync(at('whole.onnx'), onnx)
    expect(await run(output)).toEqual(await run(at('whole.onnx')))
  })

  it('is read a tensor at a time where the file is a source', async () => {
    const { model, external } = writeModelChunks(net, { external: { location: 'w', minBytes: 1024 } })
    const file = Buffer.concat(external?.chunks ?? [])
    let read = 0
    const source: ExternalSource = {
      byteLength: file.length,
      read(from, length) {
        read += length
        return new Uint8Array(file.subarray(from, from + length))
      },
    }
    const lazy = readModel(Buffer.concat(model.chunks), { external: () => source })
    expect(read).toBe(0)
    expect(Buffer.compare(packModel(lazy), packModel(net))).toBe(0)
    expect(() => readModel(Buffer.concat(model.chunks), { external: () => ({ ...source, byteLength: 10 }) })).toThrow(
      'within its 10',
    )
  })
})

it('an interrupted command leaves nothing', async () => {
  await saveModel(at('wide.onnx'), net)
  const before = readdirSync(folder)
  const main = join(import.meta.dirname, '../cli/main.ts')
  const args = ['--import', 'tsx', main, 'pack', at('wide.onnx'), '-o', at('wide.cop'), '--mode', 'max', '--json']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  // It is at work, its temporary file is there.
  await new Promise<void>((resolve) => {
    const look = setInterval(() => {
      if (!readdirSync(folder).some((name) => name.startsWith('.wide.cop.tmp'))) return
      clearInterval(look)
      resolve()
    }, 20)
    child.stderr.on('data', (text) => {
      said += text
    })
    child.on('exit', () => {
      clearInterval(look)
      resolve()
    })
  })
  child.kill('SIGINT')
  const code = await new Promise((resolve) =>
    child.exitCode === null ? child.on('exit', resolve) : resolve(child.exitCode),
  )
  expect([code, said]).toEqual([130, expect.stringContaining('stopped')])
  expect(readdirSync(folder)).toEqual(before)
}, 60_000)
