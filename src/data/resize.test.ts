/** Oracle: Pillow 12's Image.resize with BILINEAR, on floats. */
import { describe, expect, it } from 'vitest'
import { valueInfo } from '../graph/build.ts'
import { batcherFor } from './batcher.ts'
import type { Dataset } from './dataset.ts'
import { guessPreprocess } from './preprocess.ts'
import { planeResizer } from './resize.ts'

const image = [0, 10, 200, 40, 90, 255, 3, 77, 128, 9, 60, 61, 250, 0, 33, 5, 140, 20, 180, 220]

describe('planeResizer', () => {
  it.each([
    [
      [2, 3],
      [73.4694, 104.9683, 57.7959, 73.8367, 110.8413, 103.5918],
    ],
    [
      [5, 7],
      [
        0, 5.7143, 64.2857, 200, 85.7143, 61.4286, 90, 178.5, 79.4143, 36.1857, 113.9, 105.1143, 72.3286, 33.3, 157.5,
        85.7857, 69.5714, 163.5, 92.4286, 45.5714, 21, 43.5, 67.0429, 112.2143, 181, 90.2857, 69.0429, 89.1, 5, 82.1429,
        105.7143, 20, 134.2857, 197.1428, 220,
      ],
    ],
  ] as const)('4x5 to %j, as Pillow does it', (size, expected) => {
    const out = planeResizer([4, 5], [size[0], size[1]])([9, 9, ...image], 2)
    expect(out.length).toBe(expected.length)
    for (const [i, v] of expected.entries()) expect(out[i]).toBeCloseTo(v, 3)
  })

  it('leaves one size and one colour as they are', () => {
    expect([...planeResizer([4, 5], [4, 5])(image, 0)]).toEqual(image)
    const grey = new Array(15).fill(7)
    expect([...planeResizer([3, 5], [8, 2])(grey, 0)].every((v) => Math.abs(v - 7) < 1e-5)).toBe(true)
  })
})

describe('a batch for a model that takes another size', () => {
  const pixels = Uint8Array.from({ length: 2 * 3 * 4 * 5 }, (_, i) => (i * 37) % 256)
  const data: Dataset = {
    id: 'set',
    length: 2,
    fields: { image: { shape: [3, 4, 5], data: pixels, kind: 'image' } },
    labels: Int32Array.of(0, 1),
    classes: 2,
  }
  const how = { range: [0, 255] as const, mean: [1, 2, 3], std: [2, 4, 8] }

  it.each(['NCHW', 'NHWC'] as const)('%s: every channel resized, then preprocessed', (layout) => {
    const shape = layout === 'NCHW' ? ['N', 3, 6, 7] : ['N', 6, 7, 3]
    const input = valueInfo('x', 'float32', shape)
    expect(() => batcherFor([input], data, guessPreprocess([input], data, how))).toThrow(/--resize/)
    const batcher = batcherFor([input], data, guessPreprocess([input], data, { ...how, resize: true }))
    const { x } = batcher(data, [1])
    expect(x.dims).toEqual([1, ...shape.slice(1)])
    for (let c = 0; c < 3; c++) {
      const plane = planeResizer([4, 5], [6, 7])(pixels, 60 + 20 * c)
      for (let i = 0; i < 42; i++) {
        const got = (x.data as Float32Array)[layout === 'NCHW' ? c * 42 + i : i * 3 + c]
        expect(got).toBeCloseTo((plane[i] - how.mean[c]) / how.std[c], 4)
      }
    }
  })

  it('says what is missing where the model has no size of its own', () => {
    const input = valueInfo('x', 'float32', ['N', 3, 'h', 'w'])
    expect(() => guessPreprocess([input], data, { resize: true })).toThrow(/does not say what size of image it takes/)
  })
})
