/** Losses as graph fragments. Each is the mean over the batch of what it says. */
import { add, type Emitter, mul, neg, reduce, scale, shift, sub, sum } from '../ops/grad/emit.ts'

/**
 * Gives the scalar loss of `output` against `target`, both of the output's shape.
 * Class labels come as distributions: one-hot rows, smoothed or mixed as the data likes.
 */
export type Loss = (g: Emitter, output: string, target: string) => string

const rowsOf = (g: Emitter, value: string): number => {
  const shape = g.shape(value)
  return shape.slice(0, -1).reduce((n, d) => n * d, 1)
}

const total = (g: Emitter, value: string): string => sum(g, value)

/** Cross-entropy -Σ t·log softmax(logits), over the last axis. */
const crossEntropy: Loss = (g, logits, target) => {
  const logs = g.op('LogSoftmax', [logits], { attributes: { axis: -1 } })
  return scale(g, total(g, mul(g, logs, target)), -1 / rowsOf(g, logits))
}

/** Mean squared error over every element. */
const meanSquaredError: Loss = (g, output, target) => {
  const difference = sub(g, output, target)
  return reduce(g, 'ReduceMean', mul(g, difference, difference))
}

/** Kullback-Leibler divergence Σ t·(log t - log softmax(logits)), with 0·log 0 = 0. */
const klDivergence: Loss = (g, logits, target) => {
  const positive = g.op('Max', [target, g.constant(1e-30, g.dtype(target))])
  const entropy = total(g, mul(g, target, g.op('Log', [positive])))
  const cross = mul(g, g.op('LogSoftmax', [logits], { attributes: { axis: -1 } }), target)
  return scale(g, sub(g, entropy, total(g, cross)), 1 / rowsOf(g, logits))
}

/** Yes or no for each element: log(1 + exp z) - t·z for a logit z, the mean over every element. */
const binaryCrossEntropy: Loss = (g, logits, target) =>
  reduce(g, 'ReduceMean', sub(g, g.op('Softplus', [logits]), mul(g, logits, target)))

/** The same of probabilities: -t·log p - (1 - t)·log(1 - p). */
const binaryCrossEntropyOfProbabilities: Loss = (g, output, target) => {
  const bounds = [1e-6, 1 - 1e-6].map((v) => g.constant(v, g.dtype(output)))
  const p = g.op('Clip', [output, ...bounds], { shape: g.shape(output) })
  const against = (v: string): string => shift(g, neg(g, v), 1)
  const yes = mul(g, target, g.op('Log', [p]))
  const no = mul(g, against(target), g.op('Log', [against(p)]))
  return scale(g, reduce(g, 'ReduceMean', add(g, yes, no)), -1)
}

export const losses = {
  'cross-entropy': crossEntropy,
  mse: meanSquaredError,
  kl: klDivergence,
  'binary-cross-entropy': binaryCrossEntropy,
  'binary-cross-entropy-of-probabilities': binaryCrossEntropyOfProbabilities,
} as const

export type LossName = keyof typeof losses

/** Losses that take logits: a model's final Softmax is taken off for them. */
export const logitLosses: ReadonlySet<string> = new Set<LossName>(['cross-entropy', 'kl'])

/** One-hot rows of `labels`, with `smoothing` spread evenly over all classes (Szegedy et al. 2016, arXiv:1512.00567). */
export function oneHot(labels: ArrayLike<number>, classes: number, smoothing = 0): Float32Array {
  const rows = new Float32Array(labels.length * classes).fill(smoothing / classes)
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]
    if (!(label >= 0 && label < classes))
      throw new Error(`labels: sample ${i} is of class ${label}; expected 0 to ${classes - 1}`)
    rows[i * classes + label] += 1 - smoothing
  }
  return rows
}
