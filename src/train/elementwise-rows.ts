/**
 * Elementwise work on large vectors, a piece at a time.
 *
 * An optimiser's update is a chain of elementwise operators, and each one reads and writes whole vectors. Of a dense
 * layer's millions of weights these fit no cache, so the chain runs at the speed of memory. A Scan over rows runs the whole
 * chain on one row, in cache, before the next: Adam on 2²⁴ weights takes half the time, and no whole vector between.
 */

import { type Emitter, nestedGraph, type Shape, type ValueType } from '../ops/grad/emit.ts'

/** Elements from which a vector is cut, and of a row at most: a few rows fit a core's cache. */
const large = 1 << 20
const rowLimit = 1 << 17

/** [rows, row] for a vector that is better cut; undefined where it is small, or its size has no divisor that suits. */
export function rowsOf(size: number): Shape | undefined {
  if (size < large) return undefined
  const fewest = Math.ceil(size / rowLimit)
  for (let rows = fewest; rows <= 4 * fewest; rows++) if (size % rows === 0) return [rows, size / rows]
  return undefined
}

/**
 * The outputs of an elementwise `fragment` over matrices [rows, row] of one shape. The fragment is handed an emitter for
 * its nodes and a row, [row], of each of them; what it gives has that shape too. Scalars of `g` are at its disposal.
 */
export function byRows(
  g: Emitter,
  matrices: readonly string[],
  fragment: (g: Emitter, rows: readonly string[]) => readonly string[],
): string[] {
  const { dtype, shape } = g.types.get(matrices[0]) as ValueType
  const row = { dtype, shape: shape.slice(1) }
  const rows = matrices.map(() => row)
  const body = nestedGraph(g, rows, fragment)
  const attributes = { num_scan_inputs: matrices.length, body }
  const outputs = body.value.outputs.map(() => ({ dtype, shape }))
  return g.ops('Scan', matrices, outputs, { attributes })
}
