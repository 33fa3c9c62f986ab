/** What `--data` and its flags say where they do not go together. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dataHandle } from '../data/handle.ts'
import { writeNpz } from '../data/npy.ts'
import { model as makeModel, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { int8 } from '../quantize/int8.ts'
import { optimizedOps } from '../testing/optimized-ops.ts'
import type { FlagTexts } from '../testing/run-command.ts'
import { exampleModel } from '../testing/test-method.ts'
import { bindData as bind, bindSpec, dataOptions } from './data-options.ts'
import { readFlags } from './flags.ts'
import { createIo, type Io } from './io.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-data-options-'))
afterAll(() => rmSync(folder, { recursive: true }))
const io = createIo(true)

const takes = (...shape: (string | number)[]): Model =>
  makeModel({ nodes: [], initializers: new Map(), inputs: [valueInfo('input', 'float32', shape)], outputs: [] })
const npz = async (name: string, arrays: Parameters<typeof writeNpz>[0]): Promise<string> => {
  const path = join(folder, name)
  writeFileSync(path, await writeNpz(arrays))
  return `npz:${path}`
}

const bindData = (model: Model, flags: FlagTexts, to: Io) => bind(model, readFlags(dataOptions, flags), to)

const given: readonly FlagTexts[] = [
  { inputRange: '0..255' },
  { mean: '0.5' },
  { std: '2' },
  { layout: 'NCHW' },
  { resize: true },
]
const pixels = Uint8Array.from({ length: 4 * 3 * 2 * 2 }, (_, i) => 5 * i)
const labels = { shape: [4], data: Uint8Array.of(0, 0, 1, 1) }
let floats: string
let images: string

beforeAll(async () => {
  floats = await npz('floats.npz', { input: { shape: [4, 3, 2, 2], data: Float32Array.from(pixels) }, labels })
  images = await npz('images.npz', { input: { shape: [4, 3, 2, 2], data: pixels }, labels })
})

describe('flags of preprocessing', () => {
  it.each(given)('are refused where the data has no images: %j', async (flag) => {
    const csv = join(folder, 'a.csv')
    writeFileSync(csv, 'label,a,b\n0,1,2\n0,3,4\n')
    const name = `--${Object.keys(flag)[0].replace('R', '-r')}`
    for (const [data, model] of [
      [floats, takes('N', 3, 2, 2)],
      [`csv:${csv}`, takes('N', 2)],
    ] as const) {
      await expect(bindData(model, { data, seed: '0', ...flag }, io)).rejects.toThrow(
        `${name}: it says how images are read, and ${data} has none; expected data of images with it`,
      )
      expect((await bindData(model, { data, seed: '0' }, io))?.splits.train.length).toBeGreaterThan(0)
    }
    await expect(bindData(takes('N', 2), { seed: '0', ...flag }, io)).rejects.toThrow(
      `${name}: it says how data is read`,
    )
  })

  it('go for the images of a named array, also from a recipe', async () => {
    const flags = { data: images, seed: '0', inputRange: '0..255', mean: '1,2,3', std: '2' }
    const bound = (await bindData(takes('N', 3, 2, 2), flags, io))!
    const { test } = bound.splits
    const stored = test.fields.input.data.subarray(0, 12)
    const expected = [...stored].map((v, i) => (v - [1, 2, 3][i >> 2]) / 2)
    expect([...(bound.batcher(test, [0]).input.data as Float32Array)]).toEqual(expected)
    const again = await bindSpec(takes('N', 3, 2, 2), bound.spec, { seed: 0, io })
    expect([...(again.batcher(again.splits.test, [0]).input.data as Float32Array)]).toEqual(expected)
  })

  it('a recipe names range and layout for data without images too', async () => {
    const model = takes('N', 3, 2, 2)
    const { spec } = (await bindData(model, { data: floats, seed: '0' }, io))!
    expect((await bindSpec(model, spec, { seed: 0, io })).spec).toEqual(spec)
  })
})

it('training and test samples of different shape are refused before anything is trained', async () => {
  const of = (count: number, side: number) => ({
    shape: [count, side, side],
    data: new Uint8Array(count * side * side),
  })
  const data = await npz('two.npz', { x_train: of(6, 40), x_test: of(4, 28) })
  await expect(bindData(takes('N', 1, 28, 28), { data, seed: '0' }, io)).rejects.toThrow(
    /"x" is images of shape \[1,40,40\] in the training data and images of shape \[1,28,28\] in the test data; expected/,
  )
})

describe('--data statistics', () => {
  it('makes inputs from the model, which int8 is calibrated on like any others', async () => {
    const bound = await bindData(exampleModel(), { data: 'statistics:16', seed: '3' }, io)
    const { splits, batcher, spec } = bound as NonNullable<typeof bound>
    expect([splits.train.length, splits.test.length, spec.data]).toEqual([16, 16, 'statistics:16'])
    const data = dataHandle({ train: splits.train, batcher }, { seed: 3 })
    expect([...data.calibration()][0].x.dims).toEqual([16, 3, 8, 8])
    const quantised = await int8(exampleModel(), {}, { data })
    expect(await optimizedOps(quantised)).toMatchObject({ QLinearConv: 2, QGemm: 1 })
  })

  it('is refused where the model has no BatchNormalization, and with flags that say how images are read', async () => {
    await expect(bindData(takes('N', 3, 2, 2), { data: 'statistics', seed: '0' }, io)).rejects.toThrow(
      /^data: "statistics" makes inputs from BatchNormalizations, and the model has none/,
    )
    await expect(
      bindData(exampleModel(), { data: 'statistics:16', seed: '0', inputRange: '0..255' }, io),
    ).rejects.toThrow('--input-range: it says how images are read, and statistics:16 has none')
  })
})
