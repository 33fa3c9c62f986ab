/** Integers come back as they went in, in TypeScript and WebAssembly to the same bytes, and damage is an error. */
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { random } from '../../tensor/random.ts'
import { wasmAvailable } from '../wasm/instance.ts'
import { beginDecoding, beginEncoding, decodeIntegers, encodeIntegers, type Mode } from './integer-coder.ts'

const modes: Mode[] = ['fast', 'default', 'max']
const shapes = [
  [],
  [0],
  [1],
  [7],
  [1000],
  [3, 5],
  [40, 50],
  [0, 4],
  [16, 8, 3, 3],
  [8, 1, 3, 3],
  [4, 6, 5],
  [2, 3, 2, 2, 2],
]

/** Laplace-like weights with a scale for each row, as trained networks have. */
function weights(shape: readonly number[], scale: number, seed: number): Int32Array {
  const rng = random(seed)
  const size = shape.reduce((a, b) => a * b, 1)
  const row = size / (shape[0] || 1)
  const scales = Array.from({ length: shape[0] || 1 }, () => scale * Math.exp(rng.normal() * 0.7))
  return Int32Array.from({ length: size }, (_, i) => {
    return Math.round(rng.normal() * Math.abs(rng.normal()) * scales[Math.floor(i / row)])
  })
}

describe.each(modes)('integer coder, %s', (mode) => {
  it('has WebAssembly here', () => expect(wasmAvailable()).toBe(true))

  it.each([0, 0.1, 1, 12, 3000, 1e8])(
    'codes many tensors at scale %d in one stream, the same in both implementations',
    (scale) => {
      const tensors = shapes.map((shape, i) => ({ shape, values: weights(shape, scale, i + 1) }))
      const streams = [true, false].map((wasm) => {
        const encoder = beginEncoding({ mode, wasm })
        for (const { values, shape } of tensors) encoder.encodeTensor(values, shape)
        return encoder.finish()
      })
      expect(streams[0]).toEqual(streams[1])
      for (const wasm of [true, false]) {
        const decoder = beginDecoding(streams[0], { mode, wasm })
        for (const { values, shape } of tensors) expect(decoder.decodeTensor(shape)).toEqual(values)
      }
    },
  )

  it('codes any int32', () => {
    const values = fc.array(
      fc.oneof(
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        fc.integer({ min: -20, max: 20 }),
        fc.constantFrom(-(2 ** 31), 2 ** 31 - 1),
      ),
      { maxLength: 60 },
    )
    fc.assert(
      fc.property(values, fc.boolean(), (list, wasm) => {
        const bytes = encodeIntegers(Int32Array.from(list), [list.length], { mode, wasm })
        expect([...decodeIntegers(bytes, [list.length], { mode, wasm: !wasm })]).toEqual(list)
      }),
      { seed: 7, numRuns: 60 },
    )
  })

  it('ends its streams so that every last bit comes back', () => {
    // Short streams exercise the end: each of these ends in another state of the coder.
    for (let n = 1; n < 400; n += { fast: 1, default: 5, max: 17 }[mode]) {
      const values = weights([n], (n % 7) * 0.7, n)
      const bytes = encodeIntegers(values, [n], { mode })
      expect(decodeIntegers(bytes, [n], { mode, wasm: n % 3 !== 0 })).toEqual(values)
    }
  })

  it('codes sparse rows and large first rows the same in both implementations', () => {
    const rng = random(3)
    const shape = [60, 256]
    for (const large of [0, 255, 100000]) {
      const values = Int32Array.from({ length: 60 * 256 }, (_, i) => {
        if (i < 256) return large
        return i % 7 < 4 && (i >> 8) % 5 === 0 && rng.next() < 0.1 ? Math.round(3 * rng.normal()) : 0
      })
      const streams = [true, false].map((wasm) => encodeIntegers(values, shape, { mode, wasm }))
      expect(streams[0]).toEqual(streams[1])
      expect(decodeIntegers(streams[0], shape, { mode, wasm: false })).toEqual(values)
    }
  })

  it('reads nothing beyond its memory where a tensor ends with a page', () => {
    for (const shape of [
      [62, 64],
      [14, 256],
      [2046, 2],
      [2008, 2],
      [512, 2048, 1, 1],
    ]) {
      const values = Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (i % 7 === 0 ? 1 : 0))
      const few = values.length > 10_000
      if (few && mode !== 'fast') continue
      const bytes = encodeIntegers(values, shape, { mode })
      expect(encodeIntegers(values, shape, { mode, wasm: false })).toEqual(bytes)
      expect(decodeIntegers(bytes, shape, { mode })).toEqual(values)
    }
  })

  it('needs few bytes for zeros', () => {
    const bytes = encodeIntegers(new Int32Array(1_000_000), [1000, 1000], { mode })
    expect(bytes.length).toBeLessThan(80)
    expect(decodeIntegers(bytes, [1000, 1000], { mode }).every((v) => v === 0)).toBe(true)
  })

  it('stops where the bytes end too soon', () => {
    const values = weights([200, 100], 10, 5)
    const bytes = encodeIntegers(values, [200, 100], { mode })
    for (const wasm of [true, false]) {
      expect(() => decodeIntegers(bytes.subarray(0, bytes.length / 2), [200, 100], { mode, wasm })).toThrow(/damaged/)
      expect(() => decodeIntegers(bytes.subarray(0, 3), [1e6, 1e6], { mode, wasm })).toThrow(/damaged/)
    }
  })

  it('sees within a row, and at its end, that the bytes end too soon', () => {
    const bytes = encodeIntegers(weights([20_000], 10, 5), [20_000], { mode })
    const half = bytes.subarray(0, bytes.length / 2)
    for (const wasm of [true, false]) {
      for (const length of [20_000, 300_000])
        expect(() => decodeIntegers(half, [length], { mode, wasm })).toThrow(/damaged/)
    }
  })
})

describe('where memory is short', () => {
  afterEach(() => {
    vi.restoreAllMocks()
    vi.resetModules()
  })
  // The second is more than what is left of the pages that the coder itself takes.
  const tensors = [[40, 50], [60, 100], [7]].map((shape, i) => ({ shape, values: weights(shape, 2, i + 1) }))
  const encodeAll = ({ encodeTensor, finish }: ReturnType<typeof beginEncoding>): Uint8Array => {
    for (const { values, shape } of tensors) encodeTensor(values, shape)
    return finish()
  }

  it.each(modes)('%s: a stream that cannot grow any more goes on in TypeScript', (mode) => {
    const bytes = encodeAll(beginEncoding({ mode, wasm: false }))
    const { grow } = WebAssembly.Memory.prototype
    let refused = 0
    vi.spyOn(WebAssembly.Memory.prototype, 'grow').mockImplementation(function (this: WebAssembly.Memory, pages) {
      if (pages <= 2) return grow.call(this, pages) // for its tables
      refused++
      throw new RangeError('WebAssembly.Memory.grow(): Unable to grow instance memory')
    })
    expect(encodeAll(beginEncoding({ mode }))).toEqual(bytes)
    const decoder = beginDecoding(bytes, { mode })
    const first = decoder.decodeTensor(tensors[0].shape)
    expect(first).toEqual(tensors[0].values)
    first.fill(9) // it is the caller's now
    for (const { values, shape } of tensors.slice(1)) expect(decoder.decodeTensor(shape)).toEqual(values)
    expect(first.every((v) => v === 9)).toBe(true)
    expect(refused).toBe(2)
  })

  it.each(['Instance', 'Module'] as const)('without a WebAssembly.%s there is TypeScript', async (part) => {
    const bytes = encodeAll(beginEncoding())
    let asked = 0
    class Missing {
      constructor() {
        asked++
        throw new RangeError(`WebAssembly.${part}(): Out of memory: Cannot allocate Wasm memory for new instance`)
      }
    }
    const { [part]: real } = WebAssembly
    vi.resetModules()
    Object.assign(WebAssembly, { [part]: Missing })
    try {
      const fresh = await import('./integer-coder.ts')
      expect(encodeAll(fresh.beginEncoding())).toEqual(bytes)
      expect(fresh.beginDecoding(bytes).decodeTensor(tensors[0].shape)).toEqual(tensors[0].values)
    } finally {
      Object.assign(WebAssembly, { [part]: real })
    }
    // Not again and again.
    expect(asked).toBe(1)
  })

  it.each(modes)('%s: a vector takes no more memory than the mode needs', (mode) => {
    const size = 2 ** 20
    let pages = 0
    const { grow } = WebAssembly.Memory.prototype
    vi.spyOn(WebAssembly.Memory.prototype, 'grow').mockImplementation(function (this: WebAssembly.Memory, more) {
      pages = grow.call(this, more) + more
      return pages - more
    })
    const bytes = encodeIntegers(new Int32Array(size), [size], { mode })
    expect(pages * 65536).toBeLessThan(4 * size * { fast: 3, default: 4, max: 5 }[mode] + 2 ** 23)
    expect(decodeIntegers(bytes, [size], { mode }).length).toBe(size)
  })

  it('what no array can hold is a sentence', () => {
    expect(() => decodeIntegers(new Uint8Array(20_000), [2 ** 31, 4])).toThrow(
      new Error(`cop: there is not enough memory for ${2 ** 33} integers; expected a smaller model`),
    )
  })
})
