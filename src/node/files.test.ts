/** Files: atomic writes, external data, and one sentence for whatever the disk refuses. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { writeModel, writeModelChunks } from '../onnx/write.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { openModel, readFileBytes, saveModel, writeFileAtomic } from './files.ts'

const root = mkdtempSync(join(tmpdir(), 'coppice-files-'))
let folder = root
let count = 0
beforeEach(() => {
  folder = join(root, String(count++))
  mkdirSync(folder)
})
afterAll(() => rmSync(root, { recursive: true }))

const net: Model = model({
  nodes: [node('Add', ['x', 'w'], ['y'])],
  initializers: new Map([
    [
      'w',
      floatTensor(
        'w',
        [1000],
        Float32Array.from({ length: 1000 }, (_, i) => i),
      ),
    ],
  ]),
  inputs: [valueInfo('x', 'float32', ['N', 1000])],
  outputs: [valueInfo('y', 'float32', ['N', 1000])],
})

describe('readFileBytes and openModel', () => {
  it('say in one sentence, begun by the path, what is wrong', () => {
    const path = join(folder, 'a.onnx')
    expect(() => openModel(path)).toThrow(`${path}: there is no such file`)
    expect(() => openModel(folder)).toThrow(`${folder}: it is a folder; expected a file`)
    writeFileSync(path, '')
    expect(() => openModel(path)).toThrow(`${path}: it is empty; expected an ONNX model`)
    writeFileSync(path, 'not a model')
    expect(() => openModel(path)).toThrow(path)
    expect(() => readFileBytes(join(path, 'x'))).toThrow('a part of its path is not a folder')
    writeFileSync(path, writeModel({ ...net, opsets: [{ domain: '', version: 3 }] }))
    expect(openModel(path).opsets[0].version).toBe(3)
  })
})

describe('writeFileAtomic', () => {
  it('writes chunks, replaces files, and leaves nothing else', async () => {
    const path = join(folder, 'out.bin')
    await writeFileAtomic(path, [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)])
    await writeFileAtomic(path, Uint8Array.of(9))
    expect([...readFileSync(path)]).toEqual([9])
    expect(readdirSync(folder)).toEqual(['out.bin'])
  })

  it('keeps the old file and removes the temporary one where writing fails', async () => {
    const path = join(folder, 'out.bin')
    writeFileSync(path, 'old')
    function* failing() {
      yield Uint8Array.of(1)
      throw new Error('no more')
    }
    await expect(writeFileAtomic(path, failing())).rejects.toThrow('no more')
    expect([readFileSync(path, 'utf8'), readdirSync(folder)]).toEqual(['old', ['out.bin']])
    await expect(writeFileAtomic(folder, Uint8Array.of(1))).rejects.toThrow('it is a folder')
    await expect(writeFileAtomic('/dev/null', Uint8Array.of(1))).rejects.toThrow('not a regular file')
    await expect(writeFileAtomic(join(folder, 'no', 'x'), Uint8Array.of(1))).rejects.toThrow('there is no folder')
    if (process.platform === 'linux')
      await expect(writeFileAtomic('/proc/x', Uint8Array.of(1))).rejects.toThrow(
        'the folder /proc cannot be written to',
      )
    expect(process.listenerCount('SIGINT')).toBe(0)
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('leaves nothing half-written on %s', async (signal) => {
    const path = join(folder, 'out.bin')
    const script = `
      import { writeFileAtomic } from ${JSON.stringify(new URL('./files.ts', import.meta.url).href)}
      function* slow() {
        for (;;) {
          yield new Uint8Array(1000)
          if (!globalThis.told) { globalThis.told = true; console.log('writing') }
        }
      }
      await writeFileAtomic(${JSON.stringify(path)}, slow())`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    expect(readdirSync(folder).length).toBe(1)
    child.kill(signal)
    const how = await new Promise((resolve) => child.once('exit', (_, by) => resolve(by)))
    expect([how, readdirSync(folder)]).toEqual([signal, []])
  })
})

describe('external data', () => {
  it('is written beside the model and read back', async () => {
    const path = join(folder, 'net.onnx')
    expect(await saveModel(path, net)).toEqual([path])
    expect(await saveModel(path, net, { externalFromBytes: 1000 })).toEqual([path, `${path}.data`])
    expect(readFileSync(path).length).toBeLessThan(400)
    const back = openModel(path).graph.initializers.get('w')!
    expect(Buffer.compare(back.data, net.graph.initializers.get('w')!.data)).toBe(0)
  })

  it.each([
    ['../secret', 'is outside'],
    ['a/../../secret', 'is outside'],
    ['/etc/hostname', 'is outside'],
    ['..\\secret', 'is outside'],
    ['C:\\secret', 'is outside'],
    ['C:secret', 'is outside'],
    ['link', 'is a link out of'],
    ['linked-folder/secret', 'is a link out of'],
    ['missing', 'there is no such file'],
    ['sub', 'it is a folder'],
  ])('is not read from %s', (location, reason) => {
    const home = join(folder, 'home')
    mkdirSync(join(home, 'sub'), { recursive: true })
    writeFileSync(join(folder, 'secret'), new Uint8Array(4000))
    symlinkSync(join(folder, 'secret'), join(home, 'link'))
    symlinkSync(folder, join(home, 'linked-folder'))
    const path = join(home, 'net.onnx')
    const { model: written } = writeModelChunks(net, { external: { location, minBytes: 1 } })
    writeFileSync(path, Buffer.concat(written.chunks))
    expect(() => openModel(path)).toThrow(reason)
    expect(() => openModel(path)).toThrow(new RegExp(`^${path.replaceAll('.', '\\.')}: `))
  })

  it('may be a link that stays within the folder', () => {
    writeFileSync(join(folder, 'real'), new Uint8Array(4000))
    symlinkSync('real', join(folder, 'link'))
    const { model: written } = writeModelChunks(net, { external: { location: 'link', minBytes: 1 } })
    writeFileSync(join(folder, 'net.onnx'), Buffer.concat(written.chunks))
    expect(openModel(join(folder, 'net.onnx')).graph.initializers.get('w')!.data.length).toBe(4000)
  })
})
