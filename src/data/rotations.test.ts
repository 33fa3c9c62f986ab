/** Turned images: each turn by hand, all layouts, and what is left out. */
import { expect, it } from 'vitest'
import type { Dataset, Field } from './dataset.ts'
import { drawDigits } from './digits.ts'
import { rotations } from './rotations.ts'

/** A set of many copies of one sample. */
function copies(shape: readonly number[], sample: readonly number[], kind: Field['kind'] = 'image'): Dataset {
  const length = 32
  const data = Uint8Array.from({ length: length * sample.length }, (_, i) => sample[i % sample.length])
  return { id: 'copies', length, fields: { x: { shape, data, kind } } }
}

/** The first sample of each turn. */
function byTurn(set: Dataset): number[][] {
  const turned = rotations(set, 3)
  const { data, shape } = turned.fields.x
  const size = shape.reduce((a, b) => a * b, 1)
  return [0, 1, 2, 3].map((turn) => {
    const at = turned.labels!.indexOf(turn)
    return Array.from(data.subarray(at * size, (at + 1) * size))
  })
}

it('turns against the clock', () => {
  const [still, once, twice, thrice] = byTurn(copies([1, 2, 2], [1, 2, 3, 4]))
  expect(still).toEqual([1, 2, 3, 4])
  expect(once).toEqual([2, 4, 1, 3])
  expect(twice).toEqual([4, 3, 2, 1])
  expect(thrice).toEqual([3, 1, 4, 2])
})

it('turns every channel alike, planar or interleaved', () => {
  const planar = byTurn(copies([2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]))
  expect(planar[1]).toEqual([2, 4, 1, 3, 6, 8, 5, 7])
  const interleaved = byTurn(copies([2, 2, 3], [1, 10, 100, 2, 20, 200, 3, 30, 210, 4, 40, 220], 'values'))
  expect(interleaved[1]).toEqual([2, 20, 200, 4, 40, 220, 1, 10, 100, 3, 30, 210])
})

it('has the turn as its label, all four about as often, and the same each time', () => {
  const digits = drawDigits(400, 1)
  const turned = rotations(digits, 7)
  expect(turned.classes).toBe(4)
  const counts = [0, 1, 2, 3].map((t) => turned.labels!.filter((l) => l === t).length)
  expect(Math.min(...counts)).toBeGreaterThan(70)
  const again = rotations(digits, 7)
  expect(Buffer.compare(again.fields.image.data as Uint8Array, turned.fields.image.data as Uint8Array)).toBe(0)
  expect(again.labels).toEqual(turned.labels)
  expect(rotations(digits, 8).labels).not.toEqual(turned.labels)
})

it('says where there is nothing to turn', () => {
  expect(() => rotations(copies([1, 2, 3], [1, 2, 3, 4, 5, 6]), 1)).toThrow(
    'copies: it has no square images to turn; expected some as high as wide',
  )
})
