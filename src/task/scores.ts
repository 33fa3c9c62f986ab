/** Scores as decisions: the largest of them, and by how much. One home for what accuracy, losses and divergences need. */
import type { Value } from '../method.ts'

type Numbers = Value['data'] | ArrayLike<number>

/** Where one set of scores lies in a tensor's data. */
export interface Row {
  readonly from: number
  readonly width: number
  readonly stride: number
}

/** The sets of scores of a tensor, along `axis`, in the order of what is left when that axis is taken out. */
export function rowsAlong(dims: readonly number[], axis: number): { readonly count: number; at(index: number): Row } {
  const width = dims[axis] ?? 1
  const stride = dims.slice(axis + 1).reduce((a, b) => a * b, 1)
  const outer = dims.slice(0, axis).reduce((a, b) => a * b, 1)
  return {
    count: outer * stride,
    at: (index) => ({ from: Math.floor(index / stride) * width * stride + (index % stride), width, stride }),
  }
}

/** The index of the largest score, the first of equals; -1 where one is not a number. */
export function argmax(data: Numbers, { from, width, stride }: Row): number {
  let best = 0
  let top = Number(data[from])
  for (let c = 0, at = from; c < width; c++, at += stride) {
    const score = Number(data[at])
    if (Number.isNaN(score)) return -1
    if (score > top) {
      top = score
      best = c
    }
  }
  return best
}

/** How many classes score higher than `label` (of equals, the earlier counts as higher); `width` where one is not a number. */
export function rankOf(data: Numbers, { from, width, stride }: Row, label: number): number {
  const own = Number(data[from + label * stride])
  let rank = 0
  for (let c = 0; c < width; c++) {
    const score = Number(data[from + c * stride])
    if (Number.isNaN(score)) return width
    if (score > own || (score === own && c < label)) rank++
  }
  return rank
}

/** The score of a class less the largest of the others: above 0 where it is the decision. Probabilities as logarithms. */
export function marginOf(data: Numbers, { from, width, stride }: Row, label: number, probabilities: boolean): number {
  let other = Number.NEGATIVE_INFINITY
  for (let c = 0; c < width; c++) if (c !== label) other = Math.max(other, Number(data[from + c * stride]))
  const own = Number(data[from + label * stride])
  return probabilities ? logarithm(own) - logarithm(other) : own - other
}

/** A yes-or-no score as a logit: above 0 is yes. */
export function logitOf(score: number, probability: boolean): number {
  return probability ? logarithm(score) - logarithm(1 - score) : score
}

/** log Σ exp x over the scores. */
export function logSumExp(data: Numbers, { from, width, stride }: Row): number {
  let top = Number.NEGATIVE_INFINITY
  for (let c = 0; c < width; c++) top = Math.max(top, Number(data[from + c * stride]))
  if (!Number.isFinite(top)) return top
  let sum = 0
  for (let c = 0; c < width; c++) sum += Math.exp(Number(data[from + c * stride]) - top)
  return top + Math.log(sum)
}

/** -log p of the label. */
export function crossEntropy(data: Numbers, row: Row, label: number, probabilities: boolean): number {
  const own = Number(data[row.from + label * row.stride])
  return probabilities ? -Math.log(Math.max(own, 1e-30)) : logSumExp(data, row) - own
}

/** -log p of a yes or no: log(1 + exp z) - answer · z for a logit z; the answer is 0, 1 or a share between. */
export function binaryCrossEntropy(logit: number, answer: number): number {
  return Math.max(logit, 0) - answer * logit + Math.log1p(Math.exp(-Math.abs(logit)))
}

/** Σ p log(p / q) over the classes, of logits or probabilities. */
export function klDivergence(p: Numbers, q: Numbers, row: Row, probabilities: boolean): number {
  const [zp, zq] = probabilities ? [0, 0] : [logSumExp(p, row), logSumExp(q, row)]
  const log = (x: number, z: number): number => (probabilities ? logarithm(x) : x - z)
  let sum = 0
  for (let c = 0; c < row.width; c++) {
    const at = row.from + c * row.stride
    const a = log(Number(p[at]), zp)
    // Behind a mask: what has no probability adds nothing.
    if (a === Number.NEGATIVE_INFINITY) continue
    sum += Math.exp(a) * (a - log(Number(q[at]), zq))
  }
  return sum
}

/** Probabilities below this count as this. */
const leastProbability = 1e-12

function logarithm(probability: number): number {
  return Math.log(Math.max(probability, leastProbability))
}
