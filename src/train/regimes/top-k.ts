/** Keeps the largest weights of each tensor and zeroes the rest between steps: projected gradient descent onto sparse weights. */
import type { Regime } from '../regime.ts'

/** How many elements of each named parameter are kept, and after how many steps each it is done (default 1). */
export function topK(counts: Readonly<Record<string, number>>, every = 1): Regime {
  return {
    id: 'top-k',
    digest: { counts, every },
    enter: () => ({
      projections: [
        {
          every,
          apply: ({ weights }) => ({
            weights: new Map(
              Object.entries(counts).flatMap(([name, count]) => {
                const values = weights.get(name)
                return values ? [[name, keepLargest(values, count)] as const] : []
              }),
            ),
          }),
        },
      ],
    }),
  }
}

/** The values with all but the `count` largest magnitudes set to zero; of equal ones the first are kept. */
export function keepLargest(values: Float32Array, count: number): Float32Array {
  if (count >= values.length) return values.slice()
  if (count <= 0) return new Float32Array(values.length)
  const threshold = values.map(Math.abs).sort()[values.length - count]
  let equal = count
  for (const v of values) if (Math.abs(v) > threshold) equal--
  return values.map((v) => {
    const size = Math.abs(v)
    return size > threshold || (size === threshold && equal-- > 0) ? v : 0
  })
}
