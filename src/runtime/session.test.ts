/** One way to open a model, whatever it is given as. */
import { expect, it } from 'vitest'
import { packModel } from '../formats/pack.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { type Graph, type Model, type Tensor, withGraph } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floatTensor, tensorOfFloats } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { openSession, withSession } from './session.ts'

const model = exampleModel()
const [feeds] = exampleBatches(1, 2)

it('opens a model, the bytes of an ONNX file and those of a packed one, to the same outputs', async () => {
  const run = (from: Parameters<typeof openSession>[0]) =>
    withSession(
      () => openSession(from),
      (session) => session.run(feeds),
    )
  const expected = await run(model)
  expect(await run(writeModel(model))).toEqual(expected)
  expect(await run(packModel(model))).toEqual(expected)
})

it('says in one sentence what is wrong with bytes, of either kind', async () => {
  const packed = packModel(model)
  await expect(openSession(packed.subarray(0, packed.length - 9))).rejects.toThrow(/^cop: [^\n]+$/)
  await expect(openSession(Uint8Array.of(1, 2, 3), { name: 'a.onnx' })).rejects.toThrow(
    /^a.onnx: ONNX Runtime cannot load it: [^\n]+$/,
  )
})

it('leaves the types of the runtime’s own code out of its messages', async () => {
  const attributes = {
    pool_strings: { type: 'strings', value: ['a', 'a'] },
    ...{ ngram_counts: [0], ngram_indexes: [0, 1], mode: 'TF' },
    ...{ min_gram_length: 1, max_gram_length: 1, max_skip_count: 0 },
  } as const
  const twice = makeModel({
    nodes: [node('TfIdfVectorizer', ['x'], ['y'], attributes)],
    initializers: new Map(),
    inputs: [valueInfo('x', 'string', ['n'])],
    outputs: [valueInfo('y', 'float32', [2])],
  })
  await expect(openSession(twice)).rejects.toThrow(/^model: ONNX Runtime cannot load it: [^\n[]*Duplicate ngram/)
})

it('says in short words why a file of another time or maker is not loaded', async () => {
  const told = (from: Model): Promise<string> =>
    openSession(from).then(
      () => '',
      (error: Error) => error.message,
    )
  const calls = (op: string, domain?: string): Model => {
    const [first, ...others] = model.graph.nodes
    return withGraph(model, { nodes: [{ ...first, op, ...(domain ? { domain } : {}) }, ...others] })
  }
  const loads = 'model: ONNX Runtime cannot load it: '
  expect(await told({ ...model, irVersion: 99 })).toMatch(
    new RegExp(`^${loads}the file's format is version 99, and it reads up to \\d+; coppice inspect and pack work`),
  )
  expect(await told({ ...model, opsets: [{ domain: '', version: 99 }] })).toMatch(
    new RegExp(`^${loads}the model uses operator set 99 of ONNX, and it knows up to \\d+; coppice`),
  )
  expect(
    await told({ ...calls('Foo', 'my.ops'), opsets: [...model.opsets, { domain: 'my.ops', version: 1 }] }),
  ).toMatch(`${loads}it has no operator Foo of my.ops; coppice inspect and pack work without that`)
  expect(await told(calls('Foo'))).toMatch(`${loads}it has no operator Foo in set`)
  expect(await told(withGraph(model, { outputs: [] }))).toBe(
    'model: it has no outputs; expected a model with at least one',
  )
})

it('runs models of large weights of any type, in nested graphs too, as it runs their bytes', async () => {
  const rows = 1024
  const { next: uniform } = random(3)
  const weight = floatTensor(
    'w',
    [rows, 512],
    Float32Array.from({ length: rows * 512 }, () => uniform() - 0.5),
  )
  const half = tensorOfFloats(
    'h',
    'float16',
    [rows, 1024],
    new Float32Array(rows * 1024).map(() => uniform()),
  )
  const int4: Tensor = {
    name: 'q',
    dtype: 'int4',
    dims: [rows, 4096],
    data: Uint8Array.from({ length: rows * 2048 }, () => 256 * uniform()),
  }
  const branch = (name: string, from: string): Graph => ({
    name,
    nodes: [node('MatMul', ['x', from], [`${name}_y`])],
    initializers: new Map([['w', weight]]),
    inputs: [],
    outputs: [valueInfo(`${name}_y`, 'float32')],
  })
  const m = makeModel(
    {
      nodes: [
        node('MatMul', ['x', 'w'], ['a']),
        node('Cast', ['h'], ['hf'], { to: 1 }),
        node('MatMul', ['x', 'hf'], ['b']),
        node('DequantizeLinear', ['q', 'scale'], ['qf']),
        node('MatMul', ['x', 'qf'], ['c']),
        node('If', ['yes'], ['d'], {
          then_branch: { type: 'graph', value: branch('then', 'w') },
          else_branch: { type: 'graph', value: branch('else', 'w') },
        }),
      ],
      initializers: new Map(
        [
          weight,
          half,
          int4,
          floatTensor('scale', [], Float32Array.of(0.5)),
          { name: 'yes', dtype: 'bool', dims: [], data: Uint8Array.of(1) } satisfies Tensor,
        ].map((t) => [t.name, t]),
      ),
      inputs: [valueInfo('x', 'float32', [1, rows])],
      outputs: ['a', 'b', 'c', 'd'].map((name) => valueInfo(name, 'float32')),
    },
    21,
  )
  const x = { dtype: 'float32', dims: [1, rows], data: Float32Array.from({ length: rows }, () => uniform()) } as const
  const run = (from: Parameters<typeof openSession>[0]) =>
    withSession(
      () => openSession(from),
      (session) => session.run({ x }),
    )
  expect(await run(m)).toEqual(await run(writeModel(m)))
})
