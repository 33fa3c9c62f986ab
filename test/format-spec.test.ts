/** docs/format.md and docs/format/head.json say what the source does: a decoder made from them alone reads every head. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openCop } from '../src/formats/cop-file.ts'
import { packModel } from '../src/formats/pack.ts'
import type { Model } from '../src/model.ts'
import { openModel } from '../src/node/files.ts'
import { writeModel } from '../src/onnx/write.ts'
import { randomModel } from '../src/testing/random-model.ts'
import { modelsFolder, needsModels, realModel } from '../src/testing/real-models.ts'
import { exampleModel } from '../src/testing/test-method.ts'
import { headTablesText } from '../tools/format-tables.mts'
import { readBySpec, type SpecTensor } from './spec-decoder.ts'

it('docs/format/head.json is what the source has (npx tsx tools/format-tables.mts writes it)', () => {
  expect(readFileSync(join(import.meta.dirname, '../docs/format/head.json'), 'utf8')).toBe(headTablesText())
})

async function expectSame(model: Model): Promise<void> {
  const packed = packModel(model, { mode: 'fast' })
  const ours = await openCop(packed)
  const theirs = readBySpec(packed)
  expect(theirs.tensors.map((t) => [t.name, t.dtype, t.dims, t.byteLength])).toEqual(
    ours.tensors.map((t) => [t.name, t.dtype, t.dims, t.byteLength]),
  )
  // The head from the page alone; what comes from integer streams from us.
  const whole = await ours.onnx()
  const data = new Map<SpecTensor, Uint8Array>()
  for (const [i, tensor] of theirs.tensors.entries()) {
    data.set(tensor, await ours.tensor(i))
    if (tensor.data) expect(Buffer.compare(tensor.data, data.get(tensor) as Uint8Array), tensor.name).toBe(0)
  }
  expect(
    Buffer.compare(
      theirs.onnx((t) => data.get(t) as Uint8Array),
      whole,
    ),
  ).toBe(0)
  expect(Buffer.compare(whole, writeModel(model))).toBe(0)
}

describe('a decoder written after the page alone reads the head', () => {
  it('of small networks', async () => {
    await expectSame(exampleModel())
    await expectSame(openModel(join(import.meta.dirname, '../models/digits-lenet5.onnx')))
  })

  it('of models that use every part of the format', async () => {
    for (let seed = 1; seed <= 12; seed++) await expectSame(randomModel(seed))
  })

  it.skipIf(!modelsFolder).each(['mlperf-tiny-kws-dscnn', 'mnist-8'])(`of %s${needsModels}`, async (name) => {
    await expectSame(realModel(name))
  })
})
