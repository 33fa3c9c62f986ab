/** Commands open models of every kind, and refuse to overwrite any file that they read. */
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
import { packModel } from '../formats/pack.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { saveModel } from '../node/files.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { writeModel, writeModelChunks } from '../onnx/write.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { exampleModel } from '../testing/test-method.ts'
import { runInspect } from './commands/inspect.ts'
import { openAny, openInput, openToRead, openToWork } from './inputs.ts'

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
      expect(() => open(at(input), others)).toThrow(
        'this would overwrite an input or another output; expected a name of its own',
      )
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

describe('a model to look at', () => {
  it('may be packed', async () => {
    writeFileSync(at('a.cop'), packModel(exampleModel()))
    expect(openToRead(at('a.cop'))).toMatchObject({ packedBytes: readFileSync(at('a.cop')).length })
    const [plain, packed] = [await runInspect(at('real/a.onnx')), await runInspect(at('a.cop'))]
    expect(packed.error).toBeUndefined()
    expect(packed.output).toMatch(/a\.cop: packed in [\d,]+ bytes, operator set/)
    expect(packed.output.split('\n').slice(1)).toEqual(plain.output.split('\n').slice(1))
    const other = readFileSync(at('a.cop'))
    other[3]++
    writeFileSync(at('newer.cop'), other)
    const sentence =
      /newer\.cop: cop: the file is of version \d+; expected \d+; unpack it with the coppice that packed it$/
    for (const open of [openAny, openToRead]) expect(() => open(at('newer.cop'))).toThrow(sentence)
    await expect(runInspect(at('newer.cop'))).rejects.toThrow(sentence)
    writeFileSync(at('half.cop'), readFileSync(at('a.cop')).subarray(0, 100))
    await expect(runInspect(at('half.cop'))).rejects.toThrow(/half\.cop: cop: /)
  })

  it('is told of as it is: old, odd, of other domains', async () => {
    const texts: [string, string, RegExp][] = [
      [
        'old',
        'opset 6\ngraph g {\n in x: float32[2]\n out y: float32\n y = Relu(x)\n}',
        /note: operator set 6 is from/,
      ],
      [
        'new',
        'opset 99\ngraph g {\n in x: float32[2]\n out y: float32\n y = Relu(x)\n}',
        /note: operator set 99 is newer/,
      ],
      ['none', 'graph g {\n in x: float32[2]\n out y: float32\n y = Relu(x)\n}', /none\.onnx: no operator set/],
      ['empty', 'opset 17\ngraph g {\n in x: float32[2]\n out x: float32\n}', /note: its graph has no nodes/],
      [
        'ml',
        'opset "ai.onnx.ml" 1\ngraph g {\n in x: float32[2, 3]\n out y: float32\n y = ai.onnx.ml::Scaler(x) {offset: [0.5, 1.5], scale: [1.0, 2.0]}\n}',
        /ml\.onnx: operator set ai\.onnx\.ml 1, 1 layer\n[^\n]*\noutputs: y float32\[2, 3\]\n.*Scaler +\[2, 3\] +4 +0 +16 +0\.0% +4\n/s,
      ],
      [
        'own',
        'opset "my" 1\ngraph g {\n in x: float32[2, 3]\n out y: float32\n a = my::Op(x)\n y = my::Op(a)\n}',
        /unsupported: my\.Op \(2 nodes, first "a"\): no shape rule/,
      ],
      [
        'sparse',
        'opset 17\ngraph g {\n in x: float32[2, 3]\n out y: float32\n w: sparse [3, 4] int64[1] {5} float32[1] {2}\n y = MatMul(x, w)\n}',
        /MatMul +\[2, 4\] +12 +24 +12 +91\.7% +2\n.*note: 1 tensor is stored as sparse: 1 of 12 values/s,
      ],
    ]
    for (const [name, text, line] of texts) {
      writeFileSync(at(`${name}.onnx`), writeModel(parseModel(`ir 8\n${text}`)))
      const { output, error } = await runInspect(at(`${name}.onnx`))
      expect(error, name).toBeUndefined()
      expect(output).toMatch(line)
      expect(() => JSON.parse(JSON.stringify(output))).not.toThrow()
    }
  })
})

describe('the bytes of a file', () => {
  it('are told by what they are, external data too, and sum to it', async () => {
    const w = floatTensor('w', [8, 8], new Float32Array(64).fill(0.5))
    const model = {
      ...makeModel({
        nodes: [node('MatMul', ['x', 'w'], ['y'])],
        initializers: new Map([['w', w]]),
        inputs: [valueInfo('x', 'float32', [1, 8])],
        outputs: [valueInfo('y', 'float32', [1, 8])],
      }),
      metadata: [{ key: 'labels', value: 'a,b,c' }],
    }
    const { model: file, external } = writeModelChunks(model, { external: { location: 'parts.data', minBytes: 1 } })
    writeFileSync(at('parts.onnx'), Buffer.concat(file.chunks))
    writeFileSync(at('parts.data'), Buffer.concat(external?.chunks ?? []))
    const { output } = await runInspect(at('parts.onnx'))
    const [, ...found] =
      /constants, as stored +(\d+)\nmetadata +(\d+)\nnodes, names +(\d+)\n\.onnx file +(\d+)/.exec(output) ?? []
    const [constants, metadata, graph, bytes] = found.map(Number)
    expect(bytes).toBe(file.byteLength + (external?.byteLength ?? 0))
    expect(constants + metadata + graph).toBe(bytes)
    expect(constants).toBeGreaterThanOrEqual(256)
    const json = JSON.parse((await runInspect(at('parts.onnx'), { json: true })).output)
    expect(json.file).toEqual({ bytes, metadata, graph })
  })
})

describe('a model to work with', () => {
  const old = 'ir 4\nopset 6\ngraph g {\n in x: float32[2, 3]\n out y: float32\n p: float32[2] = {1, 2}\n'

  it('has an operator set that runtimes know', () => {
    writeFileSync(at('old.onnx'), writeModel(parseModel(`${old} y = Add(x, p) {broadcast: 1, axis: 0}\n}`)))
    const opened = openAny(at('old.onnx'))
    expect(opened).toMatchObject({ raisedFrom: 6, fileBytes: readFileSync(at('old.onnx')).length })
    expect(opened.model.opsets).toEqual([{ domain: '', version: 8 }])
    expect(Buffer.compare(opened.onnx, writeModel(opened.model))).toBe(0)
    expect(openToWork(at('old.onnx'), { outputs: [] })).toEqual(opened.model)
  })

  it('or is refused in a sentence that names the file and the node', () => {
    writeFileSync(at('odd.onnx'), writeModel(parseModel(`${old} y = ATen(x) @odd\n}`)))
    const sentence = `${at('odd.onnx')}: ATen "odd": no known way to operator set 8`
    expect(() => openAny(at('odd.onnx'))).toThrow(sentence)
    expect(openToRead(at('odd.onnx')).model.graph.nodes[0].op).toBe('ATen')
  })

  it('has dense weights where it is trained or pruned', () => {
    const text =
      'ir 8\nopset 17\ngraph g {\n in x: float32[2, 3]\n out y: float32\n w: sparse [3, 4] int64[1] {5} float32[1] {2}\n y = MatMul(x, w)\n}'
    writeFileSync(at('sparse.onnx'), writeModel(parseModel(text)))
    expect(openToWork(at('sparse.onnx'), { outputs: [] }).graph.initializers.get('w')?.dims).toEqual([3, 4])
  })
})
