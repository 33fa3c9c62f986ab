/** Data bound to a model: what its answers are taken for. */
import { expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Dim } from '../model.ts'
import { guessTask } from '../task/guess.ts'
import { answersInWords } from '../task/misfit.ts'
import { bindSplits } from './bind-splits.ts'
import type { Dataset } from './dataset.ts'

const giving = (shape: readonly Dim[]) =>
  makeModel({
    nodes: [node('Relu', ['x'], ['y'])],
    initializers: new Map(),
    inputs: [valueInfo('x', 'float32', ['N', 4])],
    outputs: [valueInfo('y', 'float32', shape)],
  })
const set = (labels: readonly number[], more: Partial<Dataset> = {}): Dataset => ({
  id: 'drawn',
  length: labels.length,
  fields: { x: { shape: [4], data: new Float32Array(4 * labels.length), kind: 'values' } },
  labels: Int32Array.from(labels),
  classes: Math.max(...labels) + 1,
  ...more,
})
const bound = (shape: readonly Dim[], data: Dataset) => bindSplits(giving(shape), { train: data, test: data })

it.each<[string, readonly Dim[]]>([
  ['[N]', ['N']],
  ['[N,1]', ['N', 1]],
])('whole numbers are numbers where %s is all that the model gives', (_, shape) => {
  const { splits, notes } = bound(shape, set([31, 47, 5]))
  expect(splits.test.labels).toBeUndefined()
  expect(splits.test.classes).toBeUndefined()
  expect([...(splits.train.targets?.data ?? [])]).toEqual([31, 47, 5])
  expect(notes).toContain(
    'the model gives one number per sample, so the whole numbers of the data are numbers, no classes',
  )
  expect(guessTask(giving(shape), { dataset: splits.test }).outputs[0]).toMatchObject({
    kind: 'numbers',
    labelled: true,
  })
})

it('classes stay classes where they can be meant', () => {
  for (const [shape, data] of [
    [['N', 1], set([0, 1, 1])],
    [['N', 50], set([31, 47, 5])],
    [['N', 1], set([0, 1, 2], { classNames: ['a', 'b', 'c'] })],
  ] as const)
    expect(bound(shape, data).splits.test).toBe(data)
})

it('classes that are numbered from 1 are pointed out', () => {
  expect(answersInWords(set([1, 3, 2]))).toBe('labels of 4 classes, none of which is 0,')
  expect(answersInWords(set([0, 2, 1]))).toBe('labels of 3 classes')
})
