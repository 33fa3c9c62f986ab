/**
 * An .npz as data: either arrays named after the model's inputs with answers beside them (`labels`, `y` or `targets`), or
 * the four arrays x_train, y_train, x_test, y_test that many Python examples save. Which arrays are images:
 * `imageOrValues`, `looksLikeImages`.
 */
import { didYouMean } from '../errors.ts'
import { answerArrays, type ReadOptions, readAnswers } from './answers.ts'
import type { Dataset, Field, Splits } from './dataset.ts'
import type { NpyArray } from './npy.ts'

/** The data of an .npz: both splits, or the whole where it comes in one piece. */
export function npzSplits(
  arrays: ReadonlyMap<string, NpyArray>,
  id: string,
  options: ReadOptions = {},
): Splits | { readonly whole: Dataset; readonly notes: readonly string[] } {
  const x = arrays.get('x_train')
  const xTest = arrays.get('x_test')
  if (!x || !xTest) {
    const whole = namedArrays(arrays, id, options)
    return { whole, notes: otherName(whole, options) }
  }
  if (options.label !== undefined)
    throw new Error(
      `${id}: --label is not read where there are x_train and x_test; expected y_train and y_test beside them`,
    )
  const y = arrays.get('y_train')
  const yTest = arrays.get('y_test')
  if (!y !== !yTest) throw new Error(`${id}: only one of y_train and y_test is there; expected both or neither`)
  const parts = [
    { id: `${id} (train)`, length: x.shape[0], x, array: y },
    { id: `${id} (test)`, length: xTest.shape[0], x: xTest, array: yTest },
  ]
  const answers =
    y && yTest
      ? readAnswers(
          'y',
          parts.map((p) => ({ ...p, array: p.array! })),
        )
      : []
  const [train, test] = parts.map(
    ({ id, length, x }, i): Dataset => ({ id, length, fields: { x: imageOrValues(x) }, ...answers[i] }),
  )
  return { train, test }
}

/** Says which array a model's only input is fed where it has another name. */
function otherName({ id, fields }: Dataset, { inputs = [] }: ReadOptions): string[] {
  const names = Object.keys(fields)
  if (inputs.length !== 1 || names.length !== 1 || names[0] === inputs[0].name) return []
  return [`${id}: the model's input "${inputs[0].name}" is fed the array "${names[0]}", which is the only one`]
}

function namedArrays(arrays: ReadonlyMap<string, NpyArray>, id: string, { inputs = [], label }: ReadOptions): Dataset {
  if (label !== undefined && !arrays.has(label))
    throw new Error(
      `${id}: it has no array "${label}"${didYouMean(label, [...arrays.keys()])}; expected the one with the labels`,
    )
  const answerName =
    label ?? answerArrays.find((name) => arrays.has(name) && !inputs.some((input) => input.name === name))
  const answer = answerName === undefined ? undefined : arrays.get(answerName)
  const named = [...arrays].filter(([name]) => name !== answerName)
  const samples = named.filter(([, a]) => a.shape.length > 0)
  const length = samples[0]?.[1].shape[0]
  if (length === undefined) throw new Error(`${id}: it holds no array of samples; expected arrays of shape [N,...]`)
  const fields: Record<string, Field> = {}
  for (const [name, array] of named) {
    const { shape } = array
    if (shape.length === 0) fields[name] = { ...valuesOf(array, shape), constant: true }
    else if (shape[0] !== length)
      throw new Error(
        `${id}: array "${name}" has ${shape[0]} samples and "${samples[0][0]}" ${length}; expected the same number on axis 0 of every array`,
      )
    else if (answer && looksLikeImages(shape, samples.length === 1)) fields[name] = imageOrValues(array)
    else fields[name] = valuesOf(array, shape.slice(1))
  }
  const answers = answer && answerName ? readAnswers(answerName, [{ id, length, array: answer }])[0] : {}
  return { id, length, fields, ...answers }
}

function valuesOf({ data, strings }: NpyArray, shape: readonly number[]): Field {
  return { shape, data, kind: 'values', ...(strings ? { strings } : {}) }
}

/**
 * Whether a named array has a shape of images: [N,1|3,H,W] or [N,H,W,1|3]; [N,H,W] only where no other array has
 * samples, for among several inputs it may well be a mask.
 */
function looksLikeImages(shape: readonly number[], alone: boolean): boolean {
  const [, first, , last] = shape
  if (shape.length === 3) return alone
  return shape.length === 4 && [first, last].some((channels) => channels === 1 || channels === 3)
}

/** uint8 arrays of rank 3 ([N,H,W]) or 4 (planar, or interleaved where only the last axis can be channels) are images. */
function imageOrValues(array: NpyArray): Field {
  const { shape, data, boolean, strings } = array
  const sample = shape.slice(1)
  if (boolean || strings || !(data instanceof Uint8Array) || sample.length < 2 || sample.length > 3)
    return valuesOf(array, sample)
  if (sample.length === 2) return { shape: [1, ...sample], data, kind: 'image' }
  const [first, second, last] = sample
  if (first === 1 || first === 3 || (last !== 1 && last !== 3)) return { shape: sample, data, kind: 'image' }
  return { shape: [last, first, second], data: planar(data, first * second, last), kind: 'image' }
}

function planar(data: Uint8Array, area: number, channels: number): Uint8Array {
  const out = new Uint8Array(data.length)
  for (let i = 0; i < data.length; i++) {
    const sample = Math.floor(i / (area * channels))
    const pixel = Math.floor(i / channels) % area
    out[(sample * channels + (i % channels)) * area + pixel] = data[i]
  }
  return out
}
