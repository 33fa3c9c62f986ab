/** Training and test data: whether they belong together, checked once, where data is loaded; and sets that come in one piece. */
import { splitDataset } from './batches.ts'
import type { Dataset, Field, Splits } from './dataset.ts'

/** Kind and shape in words: fields whose words are the same can stand for one another. */
export function describeField({ kind, shape, constant }: Field): string {
  const what = constant ? 'a constant' : kind === 'image' ? 'images' : 'values'
  return `${what} of shape [${shape.join(',')}]`
}

/** Throws one sentence where a part is empty, or where the two differ in their fields or their classes. */
export function checkSplits({ train, test }: Splits, spec: string): void {
  for (const { id, length } of [train, test]) {
    if (length === 0) throw new Error(`${id}: it holds no samples; expected 1 or more`)
  }
  for (const name of new Set([...Object.keys(train.fields), ...Object.keys(test.fields)])) {
    expectSame(`"${name}"`, spec, textOf(train.fields[name]), textOf(test.fields[name]))
  }
  expectSame('what is to be predicted', spec, answersOf(train), answersOf(test))
  // Names first: they tell more than a count does.
  if (train.classNames && test.classNames) {
    const count = Math.max(train.classNames.length, test.classNames.length)
    for (let i = 0; i < count; i++) expectSame(`class ${i}`, spec, nameOf(train, i), nameOf(test, i))
  }
  if (train.classes !== undefined && test.classes !== undefined)
    expectSame('the number of classes', spec, String(train.classes), String(test.classes))
}

/** A set that comes in one piece, cut in two by the seed. */
export function halves(whole: Dataset, seed: number): Splits {
  const [train, test] = splitDataset(whole, 0.5, seed)
  if (train.length === 0 || test.length === 0) {
    throw new Error(
      `${whole.id}: it comes in one piece, too small to be cut into training and test data (${whole.length} samples); expected 2 or more per class`,
    )
  }
  return {
    train: { ...train, id: `${whole.id} (train half)` },
    test: { ...test, id: `${whole.id} (test half)` },
    notes: [
      `${whole.id} comes in one piece: half (${train.length}) is used as training data, half (${test.length}) as test data, by seed ${seed}`,
    ],
  }
}

function textOf(field: Field | undefined): string {
  return field ? describeField(field) : 'missing'
}

function answersOf({ labels, targets }: Dataset): string {
  return labels ? 'a class per sample' : targets ? `numbers of shape [${targets.shape.join(',')}]` : 'missing'
}

function nameOf({ classNames }: Dataset, index: number): string {
  const name = classNames?.[index]
  return name === undefined ? 'missing' : `"${name}"`
}

function expectSame(what: string, spec: string, train: string, test: string): void {
  if (train !== test)
    throw new Error(`${spec}: ${what} is ${train} in the training data and ${test} in the test data; expected the same`)
}
