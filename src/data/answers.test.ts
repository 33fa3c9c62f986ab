/** Which arrays are labels and which are targets, for every type and shape in which people save them. */
import { describe, expect, it } from 'vitest'
import { readAnswers } from './answers.ts'
import { splitDataset, subset } from './batches.ts'
import type { Dataset } from './dataset.ts'
import { dataFingerprint } from './fingerprint.ts'
import type { NpyArray } from './npy.ts'
import { npzSplits } from './npz-dataset.ts'
import { checkSplits } from './splits.ts'

const read = (name: string, array: NpyArray, length = array.shape[0]) =>
  readAnswers(name, [{ id: 'n', length, array }])[0]
const numbers = (shape: readonly number[], ...values: number[]): NpyArray => ({
  shape,
  data: Float32Array.from(values),
})

describe('readAnswers', () => {
  it('takes whole numbers as classes, of whatever type', () => {
    for (const data of [Uint8Array.of(0, 2, 1), Int32Array.of(0, 2, 1), Float32Array.of(0, 2, 1)])
      expect(read('y', { shape: [3], data })).toEqual({ labels: Int32Array.of(0, 2, 1), classes: 3 })
    expect(read('labels', { shape: [2, 1], data: Uint8Array.of(1, 0) }).classes).toBe(2)
  })

  it('takes rows of one 1 among zeros as classes', () => {
    expect(read('y', numbers([2, 3], 0, 0, 1, 1, 0, 0))).toEqual({ labels: Int32Array.of(2, 0), classes: 3 })
  })

  it.each<[string, string, NpyArray, number[]]>([
    ['fractions', 'y', numbers([2], 0.5, 1), []],
    ['negative floats', 'labels', numbers([2], -3, 1), []],
    ['prices', 'y', numbers([2], 120000, 90000), []],
    ['a column', 'y', numbers([2, 1], 0.5, 1), []],
    ['several labels', 'y', { shape: [2, 2], data: Uint8Array.of(1, 1, 0, 1) }, [2]],
    ['whole numbers called targets', 'targets', { shape: [2], data: Int32Array.of(4, 5) }, []],
    ['boxes', 'targets', numbers([1, 2, 2], 1, 2, 3, 4), [2, 2]],
  ])('takes as numbers: %s', (_, name, array, shape) => {
    const { targets, labels } = read(name, array)
    expect(labels).toBeUndefined()
    expect(targets).toEqual({ shape, data: Float32Array.from(array.data), kind: 'values' })
  })

  it('takes text as names of classes, the same for both parts', () => {
    const parts = [['dog', 'cat'], ['ant']].map((strings) => ({
      id: 'n',
      length: strings.length,
      array: { shape: [strings.length], data: new Uint8Array(0), strings },
    }))
    const classNames = ['ant', 'cat', 'dog']
    expect(readAnswers('y', parts)).toEqual([
      { labels: Int32Array.of(2, 1), classes: 3, classNames },
      { labels: Int32Array.of(0), classes: 3, classNames },
    ])
  })

  it('decides for both parts alike', () => {
    const parts = [numbers([2], 0, 1), numbers([2], 0.5, 1)].map((array) => ({ id: 'n', length: 2, array }))
    expect(readAnswers('y', parts).map((a) => a.labels)).toEqual([undefined, undefined])
  })

  it('says in one sentence what is wrong', () => {
    expect(() => read('y', numbers([3], 0, 1, 2), 4)).toThrow('n: "y" has shape [3]; expected 4 rows, one per sample')
    expect(() => read('y', { shape: [1], data: Int8Array.of(-1) })).toThrow('n: sample 0 has label -1; expected')
    expect(() => read('targets', numbers([2, 2], 0, 1, Number.NaN, 2))).toThrow('n: sample 1 of "targets" is NaN')
  })
})

describe('targets of an npz', () => {
  const arrays = new Map<string, NpyArray>([
    ['x', numbers([4, 2], 0, 1, 2, 3, 4, 5, 6, 7)],
    ['y', numbers([4], 0.1, 1.1, 2.1, 3.1)],
  ])
  const whole = (...inputs: string[]): Dataset => {
    const found = npzSplits(arrays, 'n', { inputs: inputs.map((name) => ({ name })) })
    if (!('whole' in found)) throw new Error('it is in two parts')
    return found.whole
  }

  it('follow their samples through splits and subsets, and tell data sets apart', () => {
    const set = whole()
    expect(set.targets?.data).toEqual(Float32Array.of(...arrays.get('y')!.data))
    for (const part of splitDataset(set, 0.5, 3)) {
      const firsts = Array.from({ length: part.length }, (_, i) => part.fields.x.data[2 * i])
      expect([...part.targets!.data].map((v) => Math.round(v * 2 - 0.2))).toEqual(firsts)
    }
    expect([...subset(set, [2]).targets!.data]).toEqual([Math.fround(2.1)])
    const { targets, ...rest } = set
    expect(dataFingerprint(set)).not.toBe(dataFingerprint(rest))
    expect(() => checkSplits({ train: set, test: rest }, 's')).toThrow(
      's: what is to be predicted is numbers of shape [] in the training data and missing in the test data',
    )
  })

  it('are in the array that is told', () => {
    const both = new Map(arrays).set('other', { shape: [4], data: Uint8Array.of(0, 1, 1, 0) })
    const found = npzSplits(both, 'n', { label: 'other' })
    expect(found).toMatchObject({ whole: { labels: Int32Array.of(0, 1, 1, 0), fields: { y: { shape: [] } } } })
    expect(() => npzSplits(both, 'n', { label: 'othr' })).toThrow('n: it has no array "othr"; did you mean "other"?')
  })

  it('leave an array alone that is named as an input of the model', () => {
    expect(whole('x', 'y').targets).toBeUndefined()
    expect(whole('x', 'y').fields.y.shape).toEqual([])
  })
})
