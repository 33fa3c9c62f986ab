/** The table of operator sets against nodes of both forms, and against the versions of the file format. */
import { expect, test } from 'vitest'
import { node } from '../graph/build.ts'
import { irVersionOf } from '../model.ts'
import { isInput, listOf, movedAt } from './operator-sets.ts'

test('a list is found as an attribute and as an input', () => {
  const read = (input: number): string => `input ${input}`
  expect(listOf(node('Squeeze', ['x'], ['y'], { axes: [2] }), 'axes', read)).toEqual([2])
  expect(listOf(node('Squeeze', ['x', 'a'], ['y']), 'axes', read)).toBe('input 1')
  expect(listOf(node('Slice', ['x', 's', 'e', 'a'], ['y']), 'axes', read)).toBe('input 3')
  expect(listOf(node('Slice', ['x', 's', 'e'], ['y']), 'axes', read)).toBeUndefined()
  expect(listOf(node('Relu', ['x', 'z'], ['y']), 'axes', read)).toBeUndefined()
})

test('says from which set on an attribute is an input', () => {
  expect([12, 13].map((opset) => isInput('ReduceSum', 'axes', opset))).toEqual([false, true])
  expect([17, 18].map((opset) => isInput('ReduceMean', 'axes', opset))).toEqual([false, true])
  expect(isInput('Split', 'axis', 20)).toBe(false)
  expect(movedAt('Slice', 10)).toEqual([
    ['starts', 1],
    ['ends', 2],
    ['axes', 3],
  ])
  expect(movedAt('Slice', 11)).toEqual([])
  expect(movedAt('constructor', 10)).toEqual([])
})

test('the version of the file format follows from the operator set, as onnx/docs/Versioning.md lists them', () => {
  const listed = {
    8: 4,
    9: 4,
    10: 5,
    11: 6,
    12: 7,
    14: 7,
    15: 8,
    18: 8,
    19: 9,
    20: 9,
    21: 10,
    23: 11,
    24: 12,
    27: 13,
    28: 14,
  }
  for (const [opset, ir] of Object.entries(listed)) expect(irVersionOf(Number(opset)), opset).toBe(ir)
})
