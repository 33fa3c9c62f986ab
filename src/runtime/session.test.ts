/** One way to open a model, whatever it is given as. */
import { expect, it } from 'vitest'
import { packModel } from '../formats/pack.ts'
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
