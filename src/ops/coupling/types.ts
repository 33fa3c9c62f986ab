/** What a row of the table of couplings says, and the helpers that rows are written with. */
import type { Attribute, Dim, Node, Tensor } from '../../model.ts'

/** An axis of a value, or of a stored tensor that is read as one. Its places are what may be removed. */
export interface Axis {
  readonly value: string
  readonly axis: number
}

export interface CouplingContext {
  /** Of a value or a stored tensor; undefined where not even the rank is known. */
  shape(name: string): readonly Dim[] | undefined
  constant(name: string): Tensor | undefined
  /** The version of ONNX's own operator set. */
  readonly opset: number
  /**
   * Whether a normalisation over an axis (LayerNormalization) lets places of it go: its mean and variance are then those of
   * what is left.
   */
  readonly overNormalised: boolean
}

/**
 * Places of two axes that are the same: place k of `output` is place from[k] of `input` (-1: of none), or place k of `input`
 * lies in place into[k] of `output`; without either they are the same one by one.
 */
export interface Tie {
  readonly input: Axis
  readonly output: Axis
  readonly from?: Int32Array
  readonly into?: Int32Array
}

/** Axis `axis` of the stored tensor at input `at` counts the places of `follows`. */
export interface Cut {
  readonly at: number
  readonly axis: number
  readonly follows: Axis
  /** Where the axis counts the channels of one group: how many groups there are, all alike. */
  readonly groups?: number
  /** Where the axis counts all channels several times over, as the gates of recurrent layers do: how often. */
  readonly repeats?: number
  /** Where a place of the axis is for several channels in a row, all of which go together: how many. */
  readonly each?: number
}

/** A layer: mixes all places of `input` into `output` by the stored tensor at input `at`. */
export interface Mix {
  readonly at: number
  readonly input: Axis
  readonly output: Axis
  readonly inputAxis: number
  readonly outputAxis: number
  /** Each group of outputs reads its own group of inputs; default 1. */
  readonly groups?: number
  /** Which axis of the tensor counts one group's channels; default the inputs'. */
  readonly perGroup?: 'inputs' | 'outputs'
}

/** Marks the places of an axis that stay with 1; undefined where all do. */
export type Kept = (axis: Axis) => Uint8Array | undefined

/** What of a node says how many places there are, as it has to be when some are gone. */
export interface Adjustment {
  readonly attributes?: Readonly<Record<string, Attribute>>
  /** By the number of the input. */
  readonly inputs?: ReadonlyMap<number, Tensor>
}

/** How a node ties places. An axis of its inputs and outputs that nothing here names is needed whole. */
export interface Coupling {
  readonly ties: readonly Tie[]
  readonly cuts: readonly Cut[]
  readonly mix?: Mix
  /** A recurrent layer: what it makes depends on all places that it reads, and on its own. */
  readonly recurrence?: { readonly reads: Axis; readonly makes: readonly Axis[] }
  /** Places of one axis that go together: place k with place as[k]. */
  readonly alike?: readonly { readonly axis: Axis; readonly as: Int32Array }[]
  /** Axes of two inputs over which products are summed, place by place. */
  readonly contracts?: readonly (readonly [Axis, Axis])[]
  /** Axes that it reads without needing any place. */
  readonly ignores?: readonly Axis[]
  /**
   * Ties that exclude each other where they share an axis: an axis that is split into heads and their sizes can lose whole
   * heads, or the same places of every head. The first that is of use is taken.
   */
  readonly choices?: readonly Tie[]
  adjust?(kept: Kept): Adjustment
}

/** Undefined: the node is not of a form that the row knows. */
export type Row = (node: Node, context: CouplingContext) => Coupling | undefined

export const none: Coupling = { ties: [], cuts: [] }

export const rankOf = (context: CouplingContext, name: string): number | undefined => context.shape(name)?.length

/** How many places an axis has, where that is known. */
export function sizeAt(context: CouplingContext, { value, axis }: Axis): number | undefined {
  const size = context.shape(value)?.[axis]
  return typeof size === 'number' && size > 0 ? size : undefined
}

/** The axis that a number names, counted from the end where it is below 0. */
export const resolved = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

/** The same places, where both have as many. */
export function same(context: CouplingContext, input: Axis, output: Axis): Tie[] {
  const size = sizeAt(context, input)
  return size !== undefined && size === sizeAt(context, output) ? [{ input, output }] : []
}

/** Every axis of the input tied to that of the output, but those left out. */
export function sameAxes(context: CouplingContext, [input, output]: readonly string[], except: readonly number[] = []) {
  const rank = rankOf(context, input)
  if (rank === undefined || rank !== rankOf(context, output)) return undefined
  return axesBelow(rank).flatMap((axis) =>
    except.includes(axis) ? [] : same(context, { value: input, axis }, { value: output, axis }),
  )
}

export const axesBelow = (rank: number): number[] => Array.from({ length: rank }, (_, i) => i)

export function range(count: number, at: (place: number) => number): Int32Array {
  return Int32Array.from({ length: count }, (_, k) => at(k))
}

/** How many places of an axis stay. */
export function countKept(context: CouplingContext, kept: Kept, axis: Axis): number {
  const marks = kept(axis)
  return marks ? countMarks(marks) : (sizeAt(context, axis) ?? 0)
}

/** How many places are marked with 1. */
export function countMarks(marks: Uint8Array): number {
  return marks.reduce((n, k) => n + k, 0)
}

/** Where each marked place is once the others are gone; -1 for those. */
export function placesLeft(marks: Uint8Array): Int32Array {
  let next = 0
  return Int32Array.from(marks, (k) => (k ? next++ : -1))
}

/** Visits which place of the input each place of the output is; both axes have `count` where neither says more. */
export function eachTied({ from, into }: Tie, count: number, visit: (input: number, output: number) => void): void {
  if (from) from.forEach((c, k) => void (c >= 0 && visit(c, k)))
  else if (into) into.forEach((k, c) => void (k >= 0 && visit(c, k)))
  else for (let k = 0; k < count; k++) visit(k, k)
}
