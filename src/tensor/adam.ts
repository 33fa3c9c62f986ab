/**
 * Adam on plain arrays, for small problems that are solved in this process; `train/optimizers.ts` has it as nodes of a graph.
 * Kingma and Ba 2015, arXiv:1412.6980, with β₁ 0.9, β₂ 0.999, ε 1e-12.
 */

type Floats = Float32Array | Float64Array

/** Takes a step down the gradient of `values`, which it changes. */
export type AdamStep = (values: Floats, gradient: Floats, rate: number) => void

/** Steps on arrays of that length; the means of gradients and of their squares begin at 0. */
export function adamSteps(length: number): AdamStep {
  const [mean, square] = [new Float64Array(length), new Float64Array(length)]
  let step = 0
  return (values, gradient, rate) => {
    step++
    const [meanShare, squareShare] = [1 - 0.9 ** step, 1 - 0.999 ** step]
    for (let i = 0; i < length; i++) {
      const g = gradient[i]
      mean[i] = 0.9 * mean[i] + 0.1 * g
      square[i] = 0.999 * square[i] + 0.001 * g * g
      values[i] -= (rate * (mean[i] / meanShare)) / (Math.sqrt(square[i] / squareShare) + 1e-12)
    }
  }
}
