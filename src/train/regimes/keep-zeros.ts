/** Fine-tuning of a pruned model: weights that are zero stay zero (Han et al. 2015, arXiv:1506.02626). */
import type { Regime } from '../regime.ts'

/** `names` limits it; default: what layers multiply with, and codebooks of it. */
export function keepZeros(names?: ReadonlySet<string>): Regime {
  return {
    id: 'keep-zeros',
    digest: { names: names && [...names].sort() },
    enter: () => ({
      projections: [
        {
          mask({ name, values, isWeight }) {
            const chosen = names ? names.has(name) : isWeight
            if (!chosen || !values.includes(0)) return undefined
            return values.map((v) => (v === 0 ? 0 : 1))
          },
        },
      ],
    }),
  }
}
