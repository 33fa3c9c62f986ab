import fc from 'fast-check'
import { expect, test } from 'vitest'
import { paretoFront } from './pareto.ts'

const point = fc.record({ cost: fc.integer({ min: 0, max: 9 }), score: fc.integer({ min: 0, max: 9 }) })

test('the front has what no other beats, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(point, { minLength: 1, maxLength: 30 }), (points) => {
      const front = paretoFront(points)
      const beats = (a: (typeof front)[0], b: (typeof front)[0]) =>
        a.cost <= b.cost && a.score >= b.score && (a.cost < b.cost || a.score > b.score)
      const unbeaten = points.filter((p) => !points.some((other) => beats(other, p)))
      const text = (p: (typeof front)[0]) => `${p.cost} ${p.score}`
      expect(front.map(text)).toEqual([...new Set(front.map(text))])
      expect(new Set(front.map(text))).toEqual(new Set(unbeaten.map(text)))
    }),
  )
})
