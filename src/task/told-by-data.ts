/** What the data's labels and targets say of outputs: which of them they are answers of, and what those are then. */
import type { Dataset } from '../data/dataset.ts'
import type { Dim, Graph, Model } from '../model.ts'
import { endOf, isSorted, tableBehind } from './output-origin.ts'
import { isDecision, maskName, type OutputKind, type OutputTask } from './task.ts'

/** The right answers of a data set, as far as they tell what they are answers of. */
export type Answers = Pick<Dataset, 'labels' | 'classes'> & {
  readonly targets?: { readonly shape: readonly number[]; readonly data?: ArrayLike<number> }
}

/** Which outputs the data's labels or targets judge, and what they are then. */
export function toldByData(
  outputs: readonly OutputTask[],
  model: Model,
  shapes: (name: string) => readonly Dim[] | undefined,
  { targets, labels, classes = 2 }: Answers,
): OutputTask[] {
  if (targets) {
    const perPosition = withClassesPerPosition(outputs, model, shapes, targets)
    if (perPosition) return perPosition
    const fits = outputs.find((o) => o.kind !== 'ignored' && fitsTargets(shapes(o.output), targets.shape))
    return outputs.map((o) => {
      if (o !== fits) return o
      const yesOrNo = zerosAndOnes(targets.data) ? yesOrNoOf(o, model, shapes(o.output) ?? []) : undefined
      if (yesOrNo) return { ...yesOrNo, labelled: true, why: `${o.why}, the data has labels of 0 and 1` }
      return { output: o.output, kind: 'numbers', labelled: true, why: 'the data has numbers for it' }
    })
  }
  if (!labels) return [...outputs]
  const labelled = outputs.map((o): OutputTask => {
    const info = model.graph.outputs.find((i) => i.name === o.output)
    const whole = info?.dtype !== undefined && !/float/.test(info.dtype)
    if (o.kind === 'ignored' || o.kind === 'state' || isSorted(model.graph, o.output)) return o
    if (whole) {
      const isLabel = o.kind === 'classes' && info?.dtype !== 'string' && holdsLabels(model.graph, o.output, classes)
      return isLabel ? { ...o, labelled: true } : o
    }
    const dims = shapes(o.output) ?? []
    const wide = dims.flatMap((d, axis) => (axis > 0 && d !== 1 ? [axis] : []))
    const why = isDecision(o) ? `${o.why}, labels` : 'the data has labels'
    if (dims.length > 0 && wide.length === 0)
      return classes <= 2 ? { ...o, kind: 'binary', axis: undefined, labelled: true, why } : o
    const width = dims[wide[0]]
    const fits = wide.length <= 1 && (typeof width !== 'number' || width >= Math.max(2, classes))
    if (!fits) return o
    const alone = isDecision(o) ? {} : { labelsAlone: true }
    return { ...o, kind: 'classes' satisfies OutputKind, axis: wide[0] ?? 1, labelled: true, ...alone, why }
  })
  // Labels belong to the outputs that look like classes by themselves; of others, to whichever they fit.
  const speaks = labelled.some((o) => o.labelled && !o.labelsAlone)
  return labelled.map((o, i) => (speaks && o.labelsAlone ? outputs[i] : o))
}

/** Whether whole numbers can be labels of so many classes: not if they are looked up in a table of others. */
function holdsLabels(graph: Graph, output: string, classes: number): boolean {
  return Array.from(tableBehind(graph, output) ?? []).every((v) => v >= 0 && v < classes)
}

/** An output that zeros and ones answer, as decisions; undefined where nothing about it says that it makes any. */
function yesOrNoOf(o: OutputTask, { graph }: Model, dims: readonly Dim[]): OutputTask | undefined {
  if (o.kind === 'labels' || o.kind === 'binary') return o
  const { axis: _axis, valuesToo: _values, ...other } = o
  const [end] = endOf(graph, o.output)
  const sigmoid = end?.op === 'Sigmoid' || end?.op === 'HardSigmoid'
  if (dims.length === 4 && sigmoid) return { ...other, kind: 'mask', probabilities: true }
  if (dims.length === 4 && dims[1] === 1 && maskName.test(o.output)) return { ...other, kind: 'mask' }
  return undefined
}

/**
 * Where the data has whole numbers that some output has a set of scores for each of (labels [N,T] of scores [N,T,C], or [N,H,W]
 * of [N,C,H,W]), or decides as whole numbers itself: the outputs that they judge. Undefined where there is none.
 */
function withClassesPerPosition(
  outputs: readonly OutputTask[],
  model: Model,
  shapes: (name: string) => readonly Dim[] | undefined,
  { shape, data }: { readonly shape: readonly number[]; readonly data?: ArrayLike<number> },
): OutputTask[] | undefined {
  const most = largestClass(data)
  if (most === undefined || shape.length === 0) return undefined
  const fits = (dims: readonly Dim[]): boolean => isOfShape(dims, shape)
  const labelled = outputs.map((o): OutputTask => {
    if (o.kind === 'ignored' || o.kind === 'state') return o
    const dims = shapes(o.output) ?? []
    const dtype = model.graph.outputs.find((i) => i.name === o.output)?.dtype
    const why = 'the data has a class per position'
    if (dtype !== undefined && !/float/.test(dtype))
      return fits(dims.slice(1)) ? { ...o, kind: 'tokens', labelled: true, why: `${o.why}, ${why}` } : o
    const axis = (isDecision(o) ? o.axis : undefined) ?? (dims.length > 3 ? 1 : dims.length - 1)
    const width = dims[axis]
    if (axis < 1 || !fits(dims.toSpliced(axis, 1).slice(1)) || (typeof width === 'number' && width <= most)) return o
    const kind = dims.length > 3 ? 'mask' : 'tokens'
    if (isDecision(o)) return { ...o, kind, labelled: true, why: `${o.why}, ${why}` }
    return { ...o, kind, axis, labelled: true, labelsAlone: true, why }
  })
  if (!labelled.some((o) => o.labelled)) return undefined
  const speaks = labelled.some((o) => o.labelled && !o.labelsAlone)
  return labelled.map((o, i) => (speaks && o.labelsAlone ? outputs[i] : o))
}

/** The largest of class indices; undefined where the numbers are none. Negative ones mark what does not count. */
function largestClass(data: ArrayLike<number> | undefined): number | undefined {
  if (!data || data.length === 0) return undefined
  let most = 0
  for (let i = 0; i < data.length; i++) {
    if (!Number.isInteger(data[i]) || data[i] < -100 || data[i] > 1e6) return undefined
    if (data[i] > most) most = data[i]
  }
  return most
}

function zerosAndOnes(data: ArrayLike<number> | undefined): boolean {
  return data !== undefined && Array.prototype.every.call(data, (v) => v === 0 || v === 1)
}

/** Whether an output of `dims` gives as many numbers per sample as targets of `shape` are; of open sizes, whether it can. */
function fitsTargets(dims: readonly Dim[] | undefined, shape: readonly number[]): boolean {
  const perSample = dims?.slice(1)
  if (!perSample) return false
  const sizes = perSample.filter((d) => typeof d === 'number')
  const product = (of: readonly number[]): number => of.reduce((a, b) => a * b, 1)
  return sizes.length === perSample.length ? product(sizes) === product(shape) : isOfShape(perSample, shape)
}

/** Whether an open shape can be that one, with or without axes of one: [1,H,W] is [H,W]. */
function isOfShape(dims: readonly Dim[], shape: readonly number[]): boolean {
  const matches = (a: readonly Dim[], b: readonly number[]): boolean =>
    a.length === b.length && a.every((d, i) => typeof d !== 'number' || d === b[i])
  const wide = <T>(of: readonly T[]): T[] => of.filter((d) => d !== 1)
  return matches(dims, shape) || matches(wide(dims), wide(shape))
}
