/** docs/format.md and docs/format/head.json say what the source does: a decoder made from them alone reads every file. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openCop } from '../src/formats/cop-file.ts'
import { beginEncoding, type Mode } from '../src/formats/entropy/integer-coder.ts'
import { packModel } from '../src/formats/pack.ts'
import type { Model, Tensor } from '../src/model.ts'
import { openModel } from '../src/node/files.ts'
import { writeModel } from '../src/onnx/write.ts'
import { byteLengthOf, sizeOf } from '../src/tensor/dtype.ts'
import { type Random, random } from '../src/tensor/random.ts'
import { longTexts } from '../src/testing/long-texts.ts'
import { allTypes, randomModel } from '../src/testing/random-model.ts'
import { modelsFolder, needsModels, realModel } from '../src/testing/real-models.ts'
import { exampleModel } from '../src/testing/test-method.ts'
import { headTablesText } from '../tools/format-tables.mts'
import { IntegerStream, unpackBySpec } from './spec-integers.ts'

/** In the order of their numbers in the file. */
const modes: readonly Mode[] = ['fast', 'default', 'max']

it('docs/format/head.json is what the source has (npx tsx tools/format-tables.mts writes it)', () => {
  expect(readFileSync(join(import.meta.dirname, '../docs/format/head.json'), 'utf8')).toBe(headTablesText())
})

/** Codings of the tensors, which come out of both decoders alike. */
async function expectSame(model: Model, mode: Mode): Promise<string[]> {
  const packed = packModel(model, { mode })
  const ours = await openCop(packed)
  const theirs = unpackBySpec(packed)
  expect(theirs.tensors.map((t) => [t.name, t.dtype, t.dims, t.byteLength])).toEqual(
    ours.tensors.map((t) => [t.name, t.dtype, t.dims, t.byteLength]),
  )
  for (const [i, { name, data }] of theirs.tensors.entries())
    expect(Buffer.compare(data as Uint8Array, await ours.tensor(i)), name).toBe(0)
  expect(Buffer.compare(theirs.onnx, await ours.onnx())).toBe(0)
  expect(Buffer.compare(theirs.onnx, writeModel(model))).toBe(0)
  return theirs.tensors.map((t) => t.coding)
}

describe('a decoder written after the page alone reads', () => {
  it('networks', async () => {
    for (const mode of modes) await expectSame(exampleModel(), mode)
    await expectSame(openModel(join(import.meta.dirname, '../models/digits-lenet5.onnx')), 'max')
  })

  it('models that use every part of the format', async () => {
    for (let seed = 1; seed <= 12; seed++) await expectSame(randomModel(seed), modes[seed % 3])
  })

  it('long texts of every kind', async () => {
    for (const model of Object.values(longTexts())) await expectSame(model, 'fast')
  })

  it('every element type, of random bits, of few values and of three that are anything', async () => {
    const rng = random(5)
    const tensors = allTypes
      .filter((dtype) => dtype !== 'string')
      .flatMap((dtype): Tensor[] => {
        const dims = [5, 7]
        const length = byteLengthOf(dtype, sizeOf(dims))
        const bits = Uint8Array.from({ length }, () => rng.below(256))
        const width = Math.max(1, byteLengthOf(dtype, 1))
        // These lie on a grid, or differ by their exponents alone.
        const few = Uint8Array.from({ length }, (_, i) => (i % width === width - 1 ? [1, 2, 130][rng.below(3)] : 0))
        const which = Array.from({ length: sizeOf(dims) }, () => rng.below(3))
        const three = Uint8Array.from({ length }, (_, i) => bits[width * which[Math.floor(i / width)] + (i % width)])
        return [
          { name: `${dtype} bits`, dtype, dims, data: bits },
          { name: `${dtype} few`, dtype, dims, data: few },
          { name: `${dtype} three`, dtype, dims, data: three },
        ]
      })
    const model = exampleModel()
    const initializers = new Map(tensors.map((t) => [t.name, t]))
    const codings = await expectSame({ ...model, graph: { ...model.graph, initializers } }, 'default')
    expect(new Set(codings)).toEqual(new Set(['raw', 'integers', 'grid', 'codebook', 'floats', 'bytes']))
  })

  it('a large tensor in parts, and groups in a mode of their own', async () => {
    const rng = random(6)
    const tensor = (name: string, dtype: 'int8' | 'float32', dims: number[], data: Uint8Array): Tensor => ({
      name,
      dtype,
      dims,
      data,
    })
    // Large parts of zeros, of which one is a copy, and small ones of other values.
    const rows = new Uint8Array(2 ** 22 + 500)
    for (let i = 2 ** 22; i < rows.length; i++) rows[i] = rng.below(256)
    const weights = Float32Array.from({ length: 2 ** 20 }, () => rng.normal())
    const tensors = [
      tensor('planes', 'int8', [1, 2 ** 13 + 1, 512], new Uint8Array(2 ** 22 + 512).fill(3, 2 ** 22)),
      tensor('rows', 'int8', [2 ** 21 + 250, 2], rows),
      tensor('weights', 'float32', [1024, 1024], new Uint8Array(weights.buffer)),
    ]
    const base = exampleModel()
    const large = { ...base, graph: { ...base.graph, initializers: new Map(tensors.map((t) => [t.name, t])) } }
    const packed = packModel(large, { mode: 'max' })
    const onnx = writeModel(large)
    expect(Buffer.compare(unpackBySpec(packed).onnx, onnx)).toBe(0)
    const file = await openCop(packed)
    expect(Buffer.compare(await file.onnx(), onnx)).toBe(0)
    for (const [i, t] of tensors.entries()) {
      expect(file.tensors[i]).toMatchObject({ name: t.name, dims: t.dims, byteLength: t.data.length })
      expect(Buffer.compare(await file.tensor(t.name), t.data)).toBe(0)
    }
  }, 60_000)

  it.skipIf(!modelsFolder).each(['mlperf-tiny-kws-dscnn', 'mnist-8'])(`%s${needsModels}`, async (name) => {
    await expectSame(realModel(name), 'fast')
  })
})

/** How large values are: from nearly all zeros to all of 32 bits. */
const values: readonly ((rng: Random) => number)[] = [
  (rng) => (rng.next() < 0.95 ? 0 : rng.below(3) - 1),
  (rng) => Math.round(2 * rng.normal()),
  (rng) => Math.round(40 * rng.normal()),
  (rng) => Math.round(rng.normal() * 2 ** rng.below(29)),
  (rng) => [-(2 ** 31), 2 ** 31 - 1, 0, -1][rng.below(4)],
]
const shapes = [
  [],
  [70],
  [20, 30],
  [1, 2100],
  [9, 6, 3, 3],
  [8, 5, 7],
  [6, 4, 3, 1],
  [2, 3, 2, 5, 6],
  [0, 4],
  [1100, 2],
]

describe('integer streams', () => {
  it.each(modes)('of many tensors, %s', (mode) => {
    const rng = random(7)
    const tensors = shapes.flatMap((shape) =>
      values.map((value) => ({ shape, integers: Int32Array.from({ length: sizeOf(shape) }, () => value(rng)) })),
    )
    // Beyond 256, tensors' numbers begin again.
    for (let i = 0; i < 260; i++) tensors.push({ shape: [2], integers: Int32Array.of(i % 3, -(i % 5)) })
    const encoder = beginEncoding({ mode })
    for (const { shape, integers } of tensors) encoder.encodeTensor(integers, shape)
    const stream = new IntegerStream(encoder.finish(), modes.indexOf(mode))
    for (const { shape, integers } of tensors) expect(stream.tensor(shape)).toEqual(integers)
  })
})
