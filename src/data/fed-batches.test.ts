/** Batches that are fed again are the same, whether they were kept or are made again. */
import { describe, expect, it } from 'vitest'
import { againFed, type FedBatch } from './fed-batches.ts'

function counted(floats: number): { batches: () => Iterable<FedBatch>; made: () => number } {
  let made = 0
  const batches = againFed(function* () {
    made++
    for (let i = 0; i < 3; i++) {
      const data = new Float32Array(floats).fill(i)
      const feeds = { x: { dtype: 'float32' as const, dims: [1, floats], data } }
      yield { feeds, count: 1, fed: 1, indices: Uint32Array.of(i) }
    }
  })
  return { batches, made: () => made }
}

const firsts = (batches: Iterable<FedBatch>): number[] => [...batches].map(({ feeds }) => Number(feeds.x.data[0]))

describe('againFed', () => {
  it('makes small batches once', () => {
    const { batches, made } = counted(4)
    expect([firsts(batches()), firsts(batches()), firsts(batches())]).toEqual([
      [0, 1, 2],
      [0, 1, 2],
      [0, 1, 2],
    ])
    expect(made()).toBe(1)
  })

  it('makes large batches each time', () => {
    const { batches, made } = counted(1 << 23)
    expect([firsts(batches()), firsts(batches())]).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ])
    expect(made()).toBe(2)
  })

  it('keeps nothing of a pass that was left early', () => {
    const { batches } = counted(4)
    for (const _ of batches()) break
    expect(firsts(batches())).toEqual([0, 1, 2])
  })
})
