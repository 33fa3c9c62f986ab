/** Warnings about data come from the library, once each, whichever of its functions is asked. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { compress } from '../compress/compress.ts'
import { bindSplits } from '../data/bind-splits.ts'
import type { Dataset } from '../data/dataset.ts'
import { drawDigits } from '../data/digits.ts'
import { packModel } from '../formats/pack.ts'
import { readModel } from '../onnx/read.ts'
import { reportOf } from '../report/report-of.ts'
import { compareModels, type Subject } from './compare.ts'
import { dataWarnings } from './data-warnings.ts'

const onnx = new Uint8Array(readFileSync(join(import.meta.dirname, '../../models/digits-lenet5.onnx')))
const model = readModel(onnx)
const splits = { train: drawDigits(600, 1), test: drawDigits(100, 2) }
const asTrained = bindSplits(model, splits)
/** Pixels about 0.9 instead of 0: digits on another ground than the network knows. */
const shifted = bindSplits(model, splits, { mean: [-0.9], std: [0.1] })
const suspicion = /^the model is right on .* was it trained with the former\?/

describe('images that are fed otherwise than in training', () => {
  it('compress warns of them, and its report says so once', async () => {
    const told: string[] = []
    const result = await compress(model, { data: shifted, maxLoss: '20', warn: (w) => void told.push(w) })
    expect(result.warnings.filter((w) => suspicion.test(w))).toHaveLength(1)
    expect(told).toEqual(result.warnings)
    const report = await reportOf(result, { skipLatency: true })
    expect(report.warnings.filter((w) => suspicion.test(w))).toHaveLength(1)
    const unchecked = await compress(model, { data: shifted, maxLoss: '20', preprocessCheck: false })
    expect(unchecked.warnings.filter((w) => suspicion.test(w))).toEqual([])
  })

  it('so does a comparison of two models', async () => {
    const subject: Subject = { name: 'a', model, onnx, packedBytes: packModel(model).byteLength }
    const warningsOn = async (data: typeof shifted, preprocessCheck = true) =>
      (await compareModels(subject, subject, { data, seed: 0, skipLatency: true, preprocessCheck })).warnings
    expect(await warningsOn(shifted)).toEqual([expect.stringMatching(suspicion)])
    expect(await warningsOn(shifted, false)).toEqual([])
    expect(await warningsOn(asTrained)).toEqual([])
  })
})

it('a test set of one class is told', async () => {
  const { test } = splits
  const ofOne = { ...splits, test: { ...test, labels: new Int32Array(test.length).fill(3) } }
  expect(await dataWarnings(model, { ...asTrained, splits: ofOne }, { seed: 0 })).toEqual([
    `every test sample of ${test.id} is of class 3, so accuracy shows little`,
  ])
})

it('samples that hold NaN or infinity are counted', async () => {
  const { test } = splits
  const data = Float32Array.from({ length: 100 * 784 }, (_, i) =>
    i === 5 || i === 9 ? Number.NaN : i === 790 ? Infinity : 0,
  )
  const values = { ...test, fields: { x: { kind: 'values', shape: [1, 28, 28], data } as const } }
  const told = await dataWarnings(
    model,
    { ...asTrained, splits: { ...splits, test: values } },
    { seed: 0, preprocessCheck: false },
  )
  expect(told).toEqual([`2 of 100 test samples of ${test.id} hold NaN or infinity, which few models can answer`])
})

describe('a model whose every sample holds NaN', () => {
  const filled = (set: Dataset, value: number): Dataset => ({
    ...set,
    fields: { x: { kind: 'values', shape: [1, 28, 28], data: new Float32Array(set.length * 784).fill(value) } },
  })
  it('compress says so, and not that the model does not work', async () => {
    const data = bindSplits(model, { train: filled(splits.train, Number.NaN), test: filled(splits.test, 0) })
    const told: string[] = []
    await expect(compress(model, { data, warn: (w) => void told.push(w) })).rejects.toThrow(
      /every sample holds NaN or infinity, and output "[^"]+" is the same for all of them; expected finite numbers$/,
    )
    expect(told.join()).toContain(`600 of 600 samples of ${splits.train.id} hold NaN or infinity`)
  })
})

describe('a model that is right on test data as often as a guess', () => {
  const guess = /^the model has [\d.]+ % accuracy on digits\S*, chance is 10\.0 %, so accuracy shows little/
  // The classes of the test part are numbered otherwise than those of the training part.
  const { test } = splits
  const renumbered = test.labels?.map((label) => (label + 1) % 10)
  const strange = { ...asTrained, splits: { ...splits, test: { ...test, labels: renumbered } } }

  it('compress warns of it once, and so does its report', async () => {
    const told: string[] = []
    const result = await compress(model, { data: strange, maxLoss: '20', warn: (w) => void told.push(w) })
    expect(told.filter((w) => guess.test(w))).toHaveLength(1)
    const report = await reportOf(result, { skipLatency: true })
    expect(report.warnings.filter((w) => guess.test(w))).toHaveLength(1)
  })

  it('so does a comparison of two models', async () => {
    const subject: Subject = { name: 'a', model, onnx, packedBytes: packModel(model).byteLength }
    const told: string[] = []
    const options = { seed: 0, skipLatency: true, preprocessCheck: false, warn: (w: string) => void told.push(w) }
    const { warnings } = await compareModels(subject, subject, { data: strange, ...options })
    expect(warnings).toEqual([expect.stringMatching(guess)])
    expect(told).toEqual(warnings)
  })
})
