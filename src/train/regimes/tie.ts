/**
 * Fine-tuning of shared weights: what was equal before training stays equal (Han et al. 2016, arXiv:1510.00149). Each group
 * of equal values becomes its mean after each step, so that a group moves by the mean of its gradients.
 */
import { checksumOf, type Regime } from '../regime.ts'

interface Groups {
  /** The group of each element. */
  readonly of: Uint32Array
  readonly count: number
}

/** `reference` holds, by the parameter's name, the values that make the groups. */
export function tie(reference: ReadonlyMap<string, Float32Array>): Regime {
  const groups = new Map([...reference].map(([name, values]) => [name, groupsOf(values)]))
  return {
    id: 'tie',
    digest: [...reference].map(([name, values]) => [name, checksumOf(values)]),
    enter: () => ({
      projections: [
        {
          apply: ({ weights }) => ({
            weights: new Map(
              [...groups].flatMap(([name, group]) => {
                const values = weights.get(name)
                return values ? [[name, groupMeans(values, group)] as const] : []
              }),
            ),
          }),
        },
      ],
    }),
  }
}

function groupsOf(values: Float32Array): Groups {
  const index = new Map<number, number>()
  const of = Uint32Array.from(values, (v) => {
    const seen = index.get(v)
    if (seen !== undefined) return seen
    index.set(v, index.size)
    return index.size - 1
  })
  return { of, count: index.size }
}

function groupMeans(values: Float32Array, { of, count }: Groups): Float32Array {
  const sums = new Float64Array(count)
  const sizes = new Uint32Array(count)
  for (let i = 0; i < of.length; i++) {
    sums[of[i]] += values[i]
    sizes[of[i]]++
  }
  return values.map((_, i) => sums[of[i]] / sizes[of[i]])
}
