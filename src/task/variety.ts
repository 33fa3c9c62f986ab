/** How much an output tells inputs apart, without knowing what is right. */
import type { BatchOutput } from './samples.ts'
import { logSumExp, rowsAlong } from './scores.ts'
import type { OutputTask } from './task.ts'

export interface Variety {
  add(out: BatchOutput): void
  /**
   * Of scores of classes: the exponential of the mutual information of input and class, H(mean p) - mean H(p), from 1 (the
   * same answer to all) up to the number of classes (the Inception Score, Salimans et al. 2016, arXiv:1606.03498). Of values:
   * their standard deviation over samples as a share of their size, from 0 to 1. Not a number counts as no variety.
   */
  finish(): number
}

export function varietyOf(task: OutputTask): Variety {
  const { kind, axis, probabilities = false } = task
  return kind === 'classes' && axis !== undefined ? varietyOfClasses(axis, probabilities) : varietyOfValues()
}

function varietyOfClasses(axis: number, probabilities: boolean): Variety {
  let samples = 0
  let entropies = 0
  let sums = new Float64Array(0)
  return {
    add(out) {
      const rows = rowsAlong(out.dims, axis)
      for (let r = 0; r < Math.min(rows.count, out.samples); r++) {
        const row = rows.at(r)
        if (samples === 0) sums = new Float64Array(row.width)
        const z = probabilities ? 0 : logSumExp(out.data, row)
        for (let c = 0; c < row.width; c++) {
          const score = out.data[row.from + c * row.stride]
          const p = probabilities ? score : Math.exp(score - z)
          sums[c] += p
          if (p > 0) entropies -= p * Math.log(p)
        }
        samples++
      }
    },
    finish() {
      let entropy = 0
      for (const sum of sums) if (sum > 0) entropy -= (sum / samples) * Math.log(sum / samples)
      return finiteOr(1, Math.exp(entropy - entropies / samples))
    },
  }
}

function varietyOfValues(): Variety {
  let samples = 0
  let sums = new Float64Array(0)
  let squares = new Float64Array(0)
  return {
    add(out) {
      if (samples === 0) {
        sums = new Float64Array(out.size)
        squares = new Float64Array(out.size)
      }
      for (let s = 0; s < out.samples; s++) {
        for (let j = 0; j < out.size; j++) {
          const value = out.data[out.at(s, j)]
          sums[j] += value
          squares[j] += value ** 2
        }
        samples++
      }
    },
    finish() {
      let variance = 0
      let size = 0
      sums.forEach((sum, j) => {
        variance += Math.max(0, squares[j] / samples - (sum / samples) ** 2)
        size += squares[j] / samples
      })
      return finiteOr(0, Math.sqrt(variance / size))
    },
  }
}

function finiteOr(otherwise: number, value: number): number {
  return Number.isFinite(value) ? value : otherwise
}
