import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { saveModel } from '../node/files.ts'
import { writeModel } from '../onnx/write.ts'
import { exampleModel } from '../testing/test-method.ts'
import { openAny, openInput } from './inputs.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-inputs-'))
const at = (name: string): string => join(folder, name)
afterAll(() => rmSync(folder, { recursive: true }))
beforeEach(async () => {
  rmSync(folder, { recursive: true })
  mkdirSync(at('real'), { recursive: true })
  symlinkSync(at('real'), at('link'))
  writeFileSync(at('real/a.onnx'), writeModel(exampleModel()))
  symlinkSync(at('real/a.onnx'), at('to-a.onnx'))
  await saveModel(at('ext.onnx'), exampleModel(), { externalFromBytes: 0 })
})

describe('openInput', () => {
  it.each<[string, string, string]>([
    ['by its own name', 'real/a.onnx', 'real/a.onnx'],
    ['by another way of writing it', 'real/a.onnx', 'real/../real/./a.onnx'],
    ['through a link to its folder', 'real/a.onnx', 'link/a.onnx'],
    ['whose name is a link to it', 'to-a.onnx', 'real/a.onnx'],
    ['in the link itself', 'to-a.onnx', 'to-a.onnx'],
    ['in its external data', 'ext.onnx', 'ext.onnx.data'],
    ['in another input', 'ext.onnx', 'recipe.json'],
  ])('refuses to write over an input %s', (_, input, output) => {
    const others = { inputs: [at('recipe.json')], outputs: [undefined, at(output)] }
    const before = new Map(['real/a.onnx', 'ext.onnx', 'ext.onnx.data'].map((f) => [f, readFileSync(at(f))]))
    for (const open of [openInput, openAny])
      expect(() => open(at(input), others)).toThrow('it would be written over; expected a name of its own')
    for (const [name, bytes] of before) expect(readFileSync(at(name)).equals(bytes)).toBe(true)
  })

  it('lets other names be written, and a link that leads to the input, which writing replaces', () => {
    const all = readdirSync(folder)
    linkSync(at('real/a.onnx'), at('b.onnx'))
    for (const output of ['c.onnx', 'link/c.onnx', 'to-a.onnx', 'b.onnx'])
      expect(openInput(at('real/a.onnx'), { outputs: [at(output)] }).files.size).toBe(1)
    expect(readdirSync(folder)).toEqual([...all, 'b.onnx'].toSorted())
  })

  it('gives all bytes of a model with external data', () => {
    const { files, model } = openInput(at('ext.onnx'), { outputs: [] })
    expect([...files.values()].map((b) => b.byteLength)).toEqual(
      ['ext.onnx', 'ext.onnx.data'].map((f) => readFileSync(at(f)).length),
    )
    expect(Buffer.compare(openAny(at('ext.onnx')).onnx, writeModel(model))).toBe(0)
  })
})
