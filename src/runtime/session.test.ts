/** One way to open a model, whatever it is given as. */
import { expect, it } from 'vitest'
import { packModel } from '../formats/pack.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { writeModel } from '../onnx/write.ts'
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
