/** Samples to batches: binding to a model's inputs, preprocessing, splits and order. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { valueInfo } from '../graph/build.ts'
import type { Dim } from '../model.ts'
import type { DataType } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { augment } from './augment.ts'
import { batcherFor } from './batcher.ts'
import { batches, splitDataset, subset } from './batches.ts'
import type { Dataset, Preprocess } from './dataset.ts'
import { drawDigits } from './digits.ts'
import { guessPreprocess } from './preprocess.ts'

const rgb: Dataset = {
  id: 'rgb',
  length: 2,
  fields: { image: { shape: [3, 2, 2], data: Uint8Array.from({ length: 24 }, (_, i) => 10 * i), kind: 'image' } },
  labels: Int32Array.of(0, 1),
  classes: 2,
}
const plain: Preprocess = { range: [0, 255], layout: 'NCHW' }
const input = (shape: readonly Dim[] | undefined, dtype: DataType = 'float32', name = 'x') =>
  valueInfo(name, dtype, shape)
const values = (shape: readonly number[], name = 'x', length = 2): Dataset => {
  const size = length * shape.reduce((a, b) => a * b, 1)
  return {
    id: 'v',
    length,
    fields: { [name]: { shape, data: Float32Array.from({ length: size }, (_, i) => i), kind: 'values' } },
  }
}

describe('splits and batches', () => {
  it('splits every class by the share, without losing or repeating a sample', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(4), { minLength: 1, maxLength: 60 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(),
        (labels, share, seed) => {
          const data = Uint8Array.from(labels, (_, i) => i)
          const fields = { image: { shape: [1, 1, 1], data, kind: 'image' as const } }
          const set: Dataset = { id: 's', length: labels.length, fields, labels: Int32Array.from(labels), classes: 5 }
          const [rest, held] = splitDataset(set, share, seed)
          const both = [...rest.fields.image.data, ...held.fields.image.data]
          expect(both.sort((a, b) => a - b)).toEqual([...data])
          for (let c = 0; c < 5; c++) {
            const count = labels.filter((l) => l === c).length
            expect(held.labels!.filter((l) => l === c).length).toBe(Math.round(count * share))
          }
          expect(splitDataset(set, share, seed)).toEqual([rest, held])
        },
      ),
      { seed: 3 },
    )
  })

  it('gives each sample once an epoch, in order or shuffled by the seed', () => {
    const all = (options = {}) => [...batches({ length: 10 }, 4, options)].map((b) => [...b])
    expect(all()).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ])
    expect(all({ dropLast: true })).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ])
    expect(
      all({ shuffleSeed: 1 })
        .flat()
        .sort((a, b) => a - b),
    ).toEqual(all().flat())
    expect(all({ shuffleSeed: 1 })).toEqual(all({ shuffleSeed: 1 }))
    expect(all({ shuffleSeed: 1 })).not.toEqual(all({ shuffleSeed: 2 }))
    expect(() => [...batches({ length: 1 }, 0)]).toThrow('above 0')
    expect(() => subset(rgb, [2])).toThrow('rgb: there is no sample 2')
  })
})

describe('batcherFor', () => {
  it('normalises per channel and lays out either way', () => {
    const how = { range: [-1, 1], mean: [0.1, 0.2, 0.3], std: [1, 2, 4] } as const
    const expected = (n: number, c: number, p: number) =>
      Math.fround(((rgb.fields.image.data[n * 12 + c * 4 + p] / 255) * 2 - 1 - how.mean[c]) / how.std[c])
    const nchw = batcherFor([input(['N', 3, 2, 2])], rgb, { ...how, layout: 'NCHW' })(rgb, [1]).x
    const nhwc = batcherFor([input(['N', 2, 2, 3])], rgb, { ...how, layout: 'NHWC' })(rgb, [1]).x
    expect([nchw.dims, nhwc.dims]).toEqual([
      [1, 3, 2, 2],
      [1, 2, 2, 3],
    ])
    for (let c = 0; c < 3; c++) {
      for (let p = 0; p < 4; p++) {
        expect(nchw.data[c * 4 + p]).toBeCloseTo(expected(1, c, p), 6)
        expect(nhwc.data[p * 3 + c]).toBe(nchw.data[c * 4 + p])
      }
    }
  })

  it('flattens grey images, feeds uint8, and says which batch size a model takes', () => {
    const digits = drawDigits(3, 1)
    expect(batcherFor([input(['N', 784])], digits, plain)(digits, [0, 2]).x.dims).toEqual([2, 784])
    expect(batcherFor([input([undefined, 28, 28])], digits, plain)(digits, [0]).x.dims).toEqual([1, 28, 28])
    const bytes = batcherFor([input(['N', 1, 28, 28], 'uint8')], digits, plain)(digits, [1]).x
    expect([...bytes.data]).toEqual([...digits.fields.image.data.subarray(784, 1568)])
    const fixed = batcherFor([input([1, 1, 28, 28])], digits, plain)
    expect(fixed.batchSize).toBe(1)
    expect(() => fixed(digits, [0, 1])).toThrow('2 samples; expected 1')
    expect(() => batcherFor([input(['N', 1, 28, 28], 'uint8')], digits, { ...plain, range: [0, 1] })).toThrow('0..255')
  })

  it('feeds values of several inputs, whole states, constants and other types', () => {
    const set: Dataset = {
      id: 'm',
      length: 2,
      fields: {
        a: values([3], 'a').fields.a,
        state: values([2, 1, 4], 'state').fields.state,
        sr: { shape: [], data: Int32Array.of(16000), kind: 'values', constant: true },
      },
    }
    const bound = batcherFor(
      [input([1, 3], 'int64', 'a'), input([2, 1, 4], 'float32', 'state'), input([], 'int64', 'sr')],
      set,
      plain,
    )
    expect(bound.batchSize).toBe(1)
    const feeds = bound(set, [1])
    expect(feeds.a).toMatchObject({ dims: [1, 3], data: BigInt64Array.of(3n, 4n, 5n) })
    expect(feeds.state.dims).toEqual([2, 1, 4])
    expect(feeds.sr).toMatchObject({ dims: [], data: BigInt64Array.of(16000n) })
    expect(bound(subset(set, [1]), [0])).toEqual(feeds)
  })

  it.each([
    [
      ['N', 3, 4, 4],
      rgb,
      'rgb: samples "image" of shape [3,2,2] do not fit the model\'s input "x" [N,3,4,4] (--resize',
    ],
    [['N', 1, 4, 4], rgb, /do not fit the model's input "x" \[N,1,4,4\]$/],
    [['N', 5], values([3]), 'v: samples of shape [3] do not fit the model\'s input "x" [N,5]'],
  ] as const)('says in one sentence what does not fit: %j', (shape, set, message) => {
    expect(() => batcherFor([input(shape)], set, plain)).toThrow(message)
  })

  it('suggests --resize for images only', () => {
    expect(() => batcherFor([input(['N', 3, 4, 4])], values([3, 2, 2]), plain)).toThrow(
      /^v: samples of shape \[3,2,2\] do not fit the model's input "x" \[N,3,4,4\]$/,
    )
  })

  it('refuses a data set whose field is another than the one that it was bound to', () => {
    const image = (shape: readonly number[]): Dataset => ({
      ...values(shape, 'image', 4),
      fields: { image: { shape, data: new Uint8Array(4 * 3 * 9), kind: 'image' } },
    })
    const batcher = batcherFor([input(undefined)], rgb, plain)
    expect(batcher(subset(rgb, [1]), [0]).x.dims).toEqual([1, 3, 2, 2])
    expect(() => batcher(image([3, 3, 3]), [0])).toThrow(
      'v: "image" is images of shape [3,3,3]; expected images of shape [3,2,2], as in rgb',
    )
    expect(() => batcher(values([3, 2, 2], 'image'), [0])).toThrow(
      '"image" is values of shape [3,2,2]; expected images',
    )
    expect(() => batcher(values([3, 2, 2]), [0])).toThrow('v: "image" is missing; expected images of shape [3,2,2]')
  })

  it('names the input that nothing feeds', () => {
    const two = [input(['N', 3], 'float32', 'a'), input(['N', 3], 'float32', 'b')]
    expect(() => batcherFor(two, values([3], 'a'), plain)).toThrow(
      'nothing feeds the model\'s input "b" [N,3]; the data has "a" [3], as shapes of one sample',
    )
  })
})

describe('guessPreprocess', () => {
  it('reads the layout off the input where only one fits, and says so', () => {
    expect(guessPreprocess([input(['N', 3, 2, 2])], rgb).layout).toBe('NCHW')
    const nhwc = guessPreprocess([input(['N', 2, 2, 3])], rgb)
    expect([nhwc.layout, nhwc.notes.join()]).toEqual(['NHWC', expect.stringContaining('height, width, channels')])
    const unknown = guessPreprocess([input(['N', undefined, undefined, undefined])], rgb)
    expect([unknown.layout, unknown.notes.join()]).toEqual(['NCHW', expect.stringContaining('does not show')])
  })

  it('says the default range, and checks mean and std', () => {
    expect(guessPreprocess([], rgb).notes[0]).toContain('0..1')
    expect(guessPreprocess([], rgb, { range: [0, 255] }).notes).toEqual([])
    expect(() => guessPreprocess([], rgb, { mean: [1, 2] })).toThrow('mean has 2 values; expected 1 or 3')
    expect(() => guessPreprocess([], rgb, { std: [0] })).toThrow('std must be finite and not 0')
    const grey = { shape: [1, 2, 2], data: new Uint8Array(8), kind: 'image' as const }
    const both: Dataset = { ...rgb, fields: { ...rgb.fields, grey } }
    expect(() => guessPreprocess([], both, { mean: [1, 2, 3] })).toThrow('mean has 3 values; expected 1')
  })
})

describe('augment', () => {
  it('moves and mirrors images by the seed, and leaves the source alone', () => {
    const before = rgb.fields.image.data.slice()
    const change = (seed: number) => augment(rgb, [0, 1, 0, 1], { crop: 1, flip: true, rng: random(seed) })
    expect(change(1)).toEqual(change(1))
    expect(change(1)).not.toEqual(change(2))
    expect(rgb.fields.image.data).toEqual(before)
    expect(augment(rgb, [1, 0], { rng: random(1) }).fields).toEqual(subset(rgb, [1, 0]).fields)
  })

  it('refuses data without images, which it would leave as they are', () => {
    const message = 'augment: v has no images; expected images to crop (--crop) or flip (--flip)'
    for (const how of [{ crop: 1 }, { flip: true }])
      expect(() => augment(values([3]), [0], { ...how, rng: random(1) })).toThrow(message)
    expect(augment(values([3]), [1], { rng: random(1) })).toEqual(subset(values([3]), [1]))
    const mixed = { ...rgb, fields: { ...rgb.fields, ...values([3], 'other').fields } }
    expect(augment(mixed, [1], { flip: true, rng: random(1) }).fields.other.data).toEqual(Float32Array.of(3, 4, 5))
  })

  it('makes every shift and both mirrorings of a picture, and nothing else', () => {
    const [w, h] = [3, 2]
    const pixels = [1, 2, 3, 4, 5, 6]
    const fields = { image: { shape: [1, h, w], data: Uint8Array.from(pixels), kind: 'image' as const } }
    const made = augment({ id: 'p', length: 1, fields }, new Array(400).fill(0), {
      crop: 1,
      flip: true,
      rng: random(4),
    })
    const seen = new Set(Array.from({ length: 400 }, (_, i) => made.fields.image.data.slice(6 * i, 6 * i + 6).join()))
    const wanted = new Set<string>()
    for (const dy of [-1, 0, 1]) {
      for (const dx of [-1, 0, 1]) {
        const at = (y: number, x: number) => (y >= 0 && y < h && x >= 0 && x < w ? pixels[y * w + x] : 0)
        const rows = [0, 1].map((y) => [0, 1, 2].map((x) => at(y + dy, x + dx)))
        wanted.add(rows.flat().join()).add(rows.flatMap((r) => r.toReversed()).join())
      }
    }
    expect(seen).toEqual(wanted)
  })
})

describe('drawn digits', () => {
  it('are the same for a seed, and balanced', () => {
    const set = drawDigits(500, 7)
    expect(drawDigits(500, 7)).toEqual(set)
    expect(drawDigits(500, 8).fields.image.data).not.toEqual(set.fields.image.data)
    for (let c = 0; c < 10; c++) expect(set.labels!.filter((l) => l === c).length).toBe(50)
  })

  it('can be told apart by their nearest neighbour, but not all of them', () => {
    const known = drawDigits(1500, 1)
    const asked = drawDigits(100, 2)
    let correct = 0
    for (let i = 0; i < 100; i++) {
      const a = asked.fields.image.data.subarray(i * 784, i * 784 + 784)
      let best = Number.POSITIVE_INFINITY
      let label = -1
      for (let j = 0; j < 1500; j++) {
        let distance = 0
        for (let p = 0; p < 784 && distance < best; p++) distance += (a[p] - known.fields.image.data[j * 784 + p]) ** 2
        if (distance < best) [best, label] = [distance, known.labels![j]]
      }
      if (label === asked.labels![i]) correct++
    }
    expect(correct).toBeGreaterThan(70)
    expect(correct).toBeLessThan(100)
  })
})
