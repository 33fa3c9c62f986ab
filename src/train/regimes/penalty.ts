/** Penalties on the size of weights: L2 adds λ/2·Σ w² to the loss (weight decay), L1 adds λ·Σ |w|, which drives weights to zero. */
import type { Regime, Term } from '../regime.ts'

/** λ/2·Σ w² over the named parameters; default: all that are trained. */
export function l2(lambda: number, names?: readonly string[]): Regime {
  return penalty({ id: 'l2', lambda, factor: lambda / 2, op: 'ReduceSumSquare', names })
}

/** λ·Σ |w| over the named parameters; default: all that are trained. */
export function l1(lambda: number, names?: readonly string[]): Regime {
  return penalty({ id: 'l1', lambda, factor: lambda, op: 'ReduceL1', names })
}

interface Penalty {
  readonly id: string
  readonly lambda: number
  readonly factor: number
  readonly op: string
  readonly names?: readonly string[]
}

function penalty({ id, lambda, factor, op, names }: Penalty): Regime {
  if (!Number.isFinite(lambda) || lambda < 0) throw new Error(`${id}: lambda must be 0 or more, got ${lambda}`)
  const emit: Term['emit'] = (g, scope) => {
    const parts = (names ?? scope.parameters).map((name) => {
      const value = scope.value(name)
      return g.op(op, [value, g.ints(g.shape(value).map((_, i) => i))], { attributes: { keepdims: 0 }, shape: [] })
    })
    const total = parts.reduce((a, b) => g.op('Add', [a, b]))
    return g.op('Mul', [total, g.constant(factor)])
  }
  return { id, digest: { lambda, names }, enter: () => ({ terms: [{ emit }] }) }
}
