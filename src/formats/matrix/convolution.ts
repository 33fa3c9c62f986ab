/**
 * Layers as matrices. A dense layer's weight W maps x to y = xᵀW. A convolution kernel [filters, channels, ...window] is
 * a matrix with a column for each filter and a row for each weight of one, so that the product with an input's patches
 * (im2col) is the convolution.
 */
import type { Matrix } from './matrix.ts'

/** The matrix of a tensor whose `outputAxis` counts outputs (0 for Conv and Gemm with transB, the last for MatMul). */
export function matrixOfWeight(values: Float32Array, dims: readonly number[], outputAxis = 0): Matrix {
  const { rows, columns, outer, inner } = shapeOf(dims, outputAxis)
  const out = new Uint32Array(values.length)
  const from = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let o = 0, at = 0; o < outer; o++)
    for (let column = 0; column < columns; column++)
      for (let i = 0; i < inner; i++) out[(o * inner + i) * columns + column] = from[at++]
  return { rows, columns, values: new Float32Array(out.buffer) }
}

/** The tensor's values again. */
export function weightOfMatrix(matrix: Matrix, dims: readonly number[], outputAxis = 0): Float32Array {
  const { columns, outer, inner } = shapeOf(dims, outputAxis)
  const from = new Uint32Array(matrix.values.buffer, matrix.values.byteOffset, matrix.values.length)
  const out = new Uint32Array(from.length)
  for (let o = 0, at = 0; o < outer; o++)
    for (let column = 0; column < columns; column++)
      for (let i = 0; i < inner; i++) out[at++] = from[(o * inner + i) * columns + column]
  return new Float32Array(out.buffer)
}

function shapeOf(
  dims: readonly number[],
  axis: number,
): { rows: number; columns: number; outer: number; inner: number } {
  if (dims.length < 2 || !(axis >= 0 && axis < dims.length))
    throw new Error(
      `matrix: a weight of shape [${dims.join(', ')}] with outputs on axis ${axis}; expected 2 axes or more`,
    )
  const product = (part: readonly number[]): number => part.reduce((a, b) => a * b, 1)
  const [outer, inner] = [product(dims.slice(0, axis)), product(dims.slice(axis + 1))]
  return { rows: outer * inner, columns: dims[axis], outer, inner }
}
