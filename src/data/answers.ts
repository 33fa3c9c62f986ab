/**
 * What a sample's answer is: a class, or numbers (to regress, or several labels of 0 and 1). Which of the two an array holds
 * is read off its name, its type and its values, the same for all parts of a data set.
 */
import { type DataType, sizeOf } from '../tensor/dtype.ts'
import type { Dataset } from './dataset.ts'
import type { NpyArray } from './npy.ts'

export type Answers = Pick<Dataset, 'labels' | 'classes' | 'classNames' | 'targets'>

/** Names of arrays that hold classes, or numbers where they are no whole numbers. */
const classArrays = ['labels', 'label', 'y']
/** Names of arrays that hold numbers, whole or not. */
const numberArrays = ['targets', 'target']
/** In the order in which they are looked for. */
export const answerArrays: readonly string[] = [...classArrays, ...numberArrays]

export interface ReadOptions {
  /** The model's inputs: an array or column of such a name feeds it, and is no answer, whatever its name. */
  readonly inputs?: readonly { readonly name: string; readonly dtype?: DataType }[]
  /** The array or column with the answers; default: one that is called so. */
  readonly label?: string
}

export interface AnswerArray {
  /** Begins every error. */
  readonly id: string
  /** Samples that there are. */
  readonly length: number
  readonly array: NpyArray
}

/**
 * The answers of the parts of one data set, all classes or all numbers. Throws one sentence where a part has not one row per
 * sample. Classes are: whole numbers from 0, one per sample, in arrays of integers; the same in arrays of floats, up to
 * as many as there are samples (or 1,000); rows of one 1 among zeros; text. Everything else is numbers.
 */
export function readAnswers(name: string, parts: readonly AnswerArray[]): Answers[] {
  for (const { id, length, array } of parts) {
    if (array.shape[0] !== length && sizeOf(array.shape) !== length) {
      throw new Error(`${id}: "${name}" has shape [${array.shape.join(',')}]; expected ${length} rows, one per sample`)
    }
  }
  if (parts.some(({ array }) => array.strings)) {
    const texts = parts.map(({ array, length, id }) => {
      if (array.strings?.length !== length)
        throw new Error(`${id}: "${name}" has shape [${array.shape.join(',')}]; expected one text per sample`)
      return array.strings
    })
    return answersOfTexts(texts)
  }
  if (numberArrays.includes(name)) return parts.map((part) => numbers(name, part))
  if (parts.every(isOneHot)) {
    return parts.map(({ array, length }) => {
      const classes = array.shape[1]
      return { labels: Int32Array.from({ length }, (_, i) => array.data.indexOf(1, i * classes) % classes), classes }
    })
  }
  if (!parts.every(isClasses)) return parts.map((part) => numbers(name, part))
  const classes = Math.max(...parts.map((part) => countClasses(part)))
  return parts.map(({ array }) => ({ labels: Int32Array.from(array.data), classes }))
}

/**
 * The same of texts, one per sample: class indices where all are whole numbers from 0 (3, or 3.0 as spreadsheets and data
 * frames write it), numbers where all are numbers, else names of classes, numbered in alphabetical order.
 */
export function answersOfTexts(parts: readonly (readonly string[])[]): Answers[] {
  const all = (test: (text: string) => boolean): boolean => parts.every((texts) => texts.every(test))
  if (all((text) => /^\d{1,6}(\.0+)?$/.test(text))) {
    const labels = parts.map((texts) => Int32Array.from(texts, Number))
    const classes = labels.reduce((most, part) => part.reduce((m, label) => Math.max(m, label + 1), most), 0)
    return labels.map((part) => ({ labels: part, classes }))
  }
  if (all((text) => text !== '' && Number.isFinite(Number(text))))
    return parts.map((texts) => ({ targets: { shape: [], data: Float32Array.from(texts, Number), kind: 'values' } }))
  const classNames = [...new Set(parts.flat())].sort()
  const index = new Map(classNames.map((name, i) => [name, i]))
  return parts.map((texts) => ({
    labels: Int32Array.from(texts, (text) => index.get(text)!),
    classes: classNames.length,
    classNames,
  }))
}

function numbers(name: string, { id, length, array }: AnswerArray): Answers {
  const data = Float32Array.from(array.data)
  const wrong = data.findIndex((v) => !Number.isFinite(v))
  const shape = array.shape[0] === length ? array.shape.slice(1) : []
  if (wrong >= 0) {
    const sample = Math.floor(wrong / Math.max(1, sizeOf(shape)))
    throw new Error(`${id}: sample ${sample} of "${name}" is ${data[wrong]}; expected finite numbers`)
  }
  return { targets: { shape: shape.length === 1 && shape[0] === 1 ? [] : shape, data, kind: 'values' } }
}

function isClasses({ array, length }: AnswerArray): boolean {
  if (sizeOf(array.shape) !== length) return false
  if (!(array.data instanceof Float32Array || array.data instanceof Float64Array)) return true
  const most = Math.max(1000, length)
  return array.data.every((v) => Number.isInteger(v) && v >= 0 && v < most)
}

function isOneHot({ array: { shape, data }, length }: AnswerArray): boolean {
  const [rows, classes] = shape
  if (shape.length !== 2 || rows !== length || classes < 2) return false
  for (let row = 0; row < rows; row++) {
    let ones = 0
    for (const v of data.subarray(row * classes, (row + 1) * classes)) {
      if (v !== 0 && v !== 1) return false
      ones += v
    }
    if (ones !== 1) return false
  }
  return true
}

function countClasses({ id, array }: AnswerArray): number {
  let most = 0
  array.data.forEach((label, i) => {
    if (label < 0 || label > 1e6)
      throw new Error(
        `${id}: sample ${i} has label ${label}; expected a whole number from 0 to 1000000 (numbers to regress are read from an array named "targets")`,
      )
    if (label > most) most = label
  })
  return most + 1
}
