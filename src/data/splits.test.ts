/** Training and test data that do not belong together are refused. */
import { expect, it } from 'vitest'
import type { Dataset, Field } from './dataset.ts'
import { checkSplits } from './splits.ts'

const field = (shape: readonly number[], kind: Field['kind'] = 'values'): Field => ({
  shape,
  data: new Uint8Array(shape.reduce((a, b) => a * b, 2)),
  kind,
})
const set = (id: string, more: Partial<Dataset> = {}): Dataset => ({
  id,
  length: 2,
  fields: { a: field([3]) },
  ...more,
})
const check = (train: Partial<Dataset>, test: Partial<Dataset>) => () =>
  checkSplits({ train: set('s (train)', train), test: set('s (test)', test) }, 's')

it('takes training and test data of the same fields and classes', () => {
  check({}, {})()
  const classes = { classes: 2, classNames: ['x', 'y'] }
  check(classes, { ...classes, length: 9 })()
  check(classes, {})()
})

it.each<[message: string, train: Partial<Dataset>, test: Partial<Dataset>]>([
  ['s (train): it holds no samples; expected 1 or more', { length: 0 }, {}],
  ['s (test): it holds no samples; expected 1 or more', {}, { length: 0 }],
  [
    's: "a" is values of shape [40,40] in the training data and values of shape [28,28] in the test data; expected the same',
    { fields: { a: field([40, 40]) } },
    { fields: { a: field([28, 28]) } },
  ],
  [
    's: "a" is images of shape [3,2] in the training data and values of shape [3,2] in the test data; expected the same',
    { fields: { a: field([3, 2], 'image') } },
    { fields: { a: field([3, 2]) } },
  ],
  [
    's: "b" is missing in the training data and values of shape [1] in the test data; expected the same',
    {},
    { fields: { a: field([3]), b: field([1]) } },
  ],
  [
    's: class 1 is "y" in the training data and "z" in the test data; expected the same',
    { classNames: ['x', 'y'], classes: 2 },
    { classNames: ['x', 'z'], classes: 2 },
  ],
  [
    's: class 2 is "z" in the training data and missing in the test data; expected the same',
    { classNames: ['x', 'y', 'z'], classes: 3 },
    { classNames: ['x', 'y'], classes: 2 },
  ],
  [
    's: the number of classes is 3 in the training data and 2 in the test data; expected the same',
    { classes: 3 },
    { classes: 2 },
  ],
])('refuses others in one sentence: %s', (message, train, test) => {
  expect(check(train, test)).toThrow(message)
})
