/** Packed models come back bit for bit; damaged files are refused in one sentence. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Attribute, Model, Node, Tensor } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { byteLengthOf, bytesOf, type DataType, dataTypes, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { openCop } from './cop-file.ts'
import { packModel } from './pack.ts'
import { unpackModel } from './unpack.ts'

const node = (op: string, attributes: Record<string, Attribute> = {}): Node => ({
  op,
  inputs: ['x'],
  outputs: ['y'],
  attributes,
})

function modelOf(tensors: readonly Tensor[], extra: Partial<Model> = {}): Model {
  return {
    irVersion: 8,
    opsets: [{ domain: '', version: 17 }],
    graph: {
      name: 'g',
      nodes: [node('Relu')],
      initializers: new Map(tensors.map((t) => [t.name, t])),
      inputs: [{ name: 'x', dtype: 'float32', shape: [1] }],
      outputs: [{ name: 'y', dtype: 'float32', shape: [1] }],
    },
    ...extra,
  }
}

function expectSame(model: Model): Uint8Array {
  const packed = packModel(model)
  expect(Buffer.compare(writeModel(unpackModel(packed)), writeModel(model))).toBe(0)
  return packed
}

const normal = (n: number, seed: number, scale = 1) => {
  const rng = random(seed)
  return Float32Array.from({ length: n }, () => rng.normal() * scale)
}

describe('a packed model comes back byte for byte', () => {
  const grid = Float32Array.from(normal(3000, 1, 3), (v) => Math.fround(Math.round(v) * Math.fround(0.037)))
  const perRow = Float32Array.from(normal(3000, 2, 30), (v, i) =>
    Math.fround(Math.round(v) * Math.fround(0.01 + 0.003 * Math.floor(i / 100))),
  )
  const book = normal(16, 3)
  const special = Float32Array.of(0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-45, -3e38)
  const payloads = Uint32Array.from(
    { length: 64 },
    (_, i) => [0x7fc00001, 0xffc00000, 0x7f800001, 0x80000000, 0, 0x00000001][i % 6],
  )
  const cases: Record<string, Tensor> = {
    empty: floatTensor('t', [0, 3], []),
    scalar: floatTensor('t', [], [1.5]),
    'one element': floatTensor('t', [1], [-0]),
    'all zero': floatTensor('t', [100, 200], new Float32Array(20000)),
    'all -0': floatTensor('t', [50], new Float32Array(50).fill(-0)),
    'all equal': floatTensor('t', [64, 3, 3, 3], new Float32Array(64 * 27).fill(0.1)),
    random: floatTensor('t', [50, 60], normal(3000, 4)),
    'on a grid': floatTensor('t', [30, 100], grid),
    'on a grid a row': floatTensor('t', [30, 100], perRow),
    'of a codebook': floatTensor(
      't',
      [40, 50],
      Float32Array.from({ length: 2000 }, (_, i) => book[(i * 7919) % 16]),
    ),
    'of a codebook with both zeros': floatTensor(
      't',
      [40, 50],
      Float32Array.from({ length: 2000 }, (_, i) => [0, -0, 1, -1][(i * 31) % 4]),
    ),
    pruned: floatTensor(
      't',
      [40, 50],
      Float32Array.from(normal(2000, 5), (v, i) => (i % 5 ? 0 : v)),
    ),
    mirrored: floatTensor(
      't',
      [20, 100],
      Float32Array.from({ length: 2000 }, (_, i) =>
        Math.cos((Math.PI * 2 * ((i % 100) * (1 + Math.floor(i / 100)))) / 100),
      ),
    ),
    'half as float': floatTensor(
      't',
      [30, 40],
      Float32Array.from(normal(1200, 6), (v) => Math.round(v * 64) / 64),
    ),
    special: floatTensor('t', [7], special),
    'many special': floatTensor(
      't',
      [700],
      Float32Array.from({ length: 700 }, (_, i) => special[i % 7]),
    ),
    'NaN payloads': { name: 't', dtype: 'float32', dims: [64], data: bytesOf(payloads) },
    'huge ints': integerTensor(
      't',
      'int32',
      [40],
      Int32Array.from({ length: 40 }, (_, i) => (i % 2 ? 2 ** 31 - 1 - i : -(2 ** 31) + i)),
    ),
    'int64 beyond 32 bits': {
      name: 't',
      dtype: 'int64',
      dims: [40],
      data: bytesOf(BigInt64Array.from({ length: 40 }, (_, i) => (1n << 62n) - BigInt(i) ** 9n)),
    },
    'int8 of full range': integerTensor('t', 'int8', [64, 64], Int8Array.from(normal(4096, 8, 50))),
    'uint8 around 128': integerTensor(
      't',
      'uint8',
      [64, 64],
      Uint8Array.from(normal(4096, 8, 20), (v) => v + 128),
    ),
    strings: {
      name: 't',
      dtype: 'string',
      dims: [3],
      data: new Uint8Array(0),
      strings: [Uint8Array.of(0, 1, 255), Uint8Array.of(), Uint8Array.of(1)],
    },
  }
  it.each(Object.entries(cases))('%s', (_, tensor) => {
    expectSame(modelOf([tensor]))
  })

  it('takes few bytes for what is regular', () => {
    const size = (tensor: Tensor) => expectSame(modelOf([tensor])).length
    const base = size(floatTensor('t', [], [1]))
    expect(size(cases['all zero']) - base).toBeLessThan(12)
    expect(size(floatTensor('t', [3162, 3162], new Float32Array(3162 * 3162))) - base).toBeLessThan(14)
    // The entropy of rounded normal numbers is log2(deviation * sqrt(2 pi e)): 3.63 and 6.95 bits.
    expect(size(cases['on a grid']) - base).toBeLessThan((3000 / 8) * 3.63 * 1.15)
    expect(size(cases['on a grid a row']) - base).toBeLessThan((3000 / 8) * 6.95 * 1.15 + 30 * 4)
    expect(size(cases.mirrored) - base).toBeLessThan(2000)
  })

  it('takes a bit for the sign of each zero where a mask left -0 too, and none for a single one', () => {
    const dense = normal(5000, 9, 9)
    const size = (zeroOf: (v: number, i: number) => number) => {
      const masked = dense.map((v, i) => (Math.abs(v) < 15 ? zeroOf(v, i) : v + 1 / 3))
      return expectSame(modelOf([floatTensor('t', [5000], masked)])).length
    }
    const zeros = dense.filter((v) => Math.abs(v) < 15).length
    expect(zeros).toBeGreaterThan(4000)
    const plain = size(() => 0)
    expect(size((v) => (v < 0 ? -0 : 0)) - plain).toBeLessThan(zeros / 8 + 16)
    const first = dense.findIndex((v) => Math.abs(v) < 15)
    expect(size((_, i) => (i === first ? -0 : 0)) - plain).toBeLessThan(24)
  })

  it('codes a repeated tensor once', () => {
    const values = normal(2000, 9)
    const once = expectSame(modelOf([floatTensor('a', [2000], values)])).length
    const twice = expectSame(modelOf([floatTensor('a', [2000], values), floatTensor('b', [2000], values)])).length
    expect(twice - once).toBeLessThan(12)
  })

  it('any tensor of any type', () => {
    const types = (Object.keys(dataTypes) as DataType[]).filter((t) => t !== 'string')
    const tensor = fc
      .tuple(
        fc.constantFrom(...types),
        fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 4 }),
        fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
        fc.constantFrom(1, 3, 255),
      )
      .map(([dtype, dims, stream, few]): Tensor => {
        const data = Uint8Array.from(
          { length: byteLengthOf(dtype, sizeOf(dims)) },
          () => (stream.next().value as number) & few,
        )
        return { name: 't', dtype, dims, data }
      })
    fc.assert(
      fc.property(tensor, (t) => void expectSame(modelOf([t]))),
      { seed: 3, numRuns: 80 },
    )
  }, 60_000)

  it('any graph: attributes of every type, nested graphs, unknown fields, text of any bytes', () => {
    const inner = modelOf([floatTensor('w', [20], normal(20, 10))]).graph
    const attributes: Record<string, Attribute> = {
      f: { type: 'float', value: Math.fround(0.1) },
      i: { type: 'int', value: -(2n ** 63n) },
      j: { type: 'int', value: 9007199254740993n },
      s: { type: 'string', value: 'naïve \u0000 text' },
      b: { type: 'string', value: Uint8Array.of(255, 0, 1, 254) },
      t: { type: 'tensor', value: floatTensor('', [40], normal(40, 11)) },
      g: { type: 'graph', value: inner },
      fs: { type: 'floats', value: [1, -0, 1e-40, Number.POSITIVE_INFINITY] },
      is: { type: 'ints', value: [1, 2, 3, -1, 2 ** 53 - 1] },
      ss: { type: 'strings', value: ['', 'a', 'a'] },
      ts: { type: 'tensors', value: [floatTensor('q', [2], [1, 2]), floatTensor('r', [2], [1, 2])] },
      gs: { type: 'graphs', value: [inner, inner] },
    }
    const model = modelOf([], {
      unknown: Uint8Array.of(0xf8, 0x07, 0x05),
      docString: 'x'.repeat(5000),
      metadata: [{ key: 'k', value: '' }],
    })
    expectSame({ ...model, graph: { ...model.graph, nodes: [node('Foo', attributes), node('Foo', attributes)] } })
  })

  it('an operator set whose domain is left out, which takes no more bytes than in the file', () => {
    const bytes = expectSame(modelOf([], { opsets: [{ version: 17 }] }))
    expect(unpackModel(bytes).opsets).toEqual([{ version: 17 }])
  })

  it('a graph that packs thousandfold', () => {
    expectSame(modelOf([], { docString: 'x'.repeat(100_000) }))
  })

  it('one tensor at a time', async () => {
    const tensors = [cases.random, cases['on a grid'], cases['all zero'], cases.random].map((t, i) => ({
      ...t,
      name: `t${i}`,
    }))
    const packed = packModel(modelOf(tensors))
    const file = await openCop(packed)
    for (const { name, data } of tensors) expect(Buffer.compare(await file.tensor(name), data)).toBe(0)
    await expect(file.tensor('other')).rejects.toThrow('no tensor is named "other"')
  })

  it('gives the same bytes every time and reports progress', () => {
    const model = modelOf([cases.random, { ...cases['on a grid'], name: 'u' }])
    const shares: number[] = []
    const first = packModel(model, { progress: (share) => shares.push(share) })
    expect(packModel(model)).toEqual(first)
    expect(shares.length).toBeGreaterThan(1)
    // Shares of the time, which is learnt on the way: they may fall, but not out of their range.
    for (const share of shares) expect(share >= 0 && share <= 1, String(share)).toBe(true)
    expect(shares[shares.length - 1]).toBe(1)
  })
})

describe('damaged files give an error, always', () => {
  const tensors = [
    floatTensor(
      'a',
      [40, 30],
      Float32Array.from(normal(1200, 12, 4), (v) => Math.fround(Math.round(v) * 0.05)),
    ),
    floatTensor('b', [30], normal(30, 13)),
    integerTensor('c', 'int64', [3], [1, -1, 784]),
  ]
  const packed = packModel(modelOf(tensors))
  const damagedBy = (bytes: Uint8Array): void => {
    let error: unknown
    try {
      unpackModel(bytes)
    } catch (e) {
      error = e
    }
    expect(error).toBeInstanceOf(Error)
    expect((error as Error).message).toMatch(/^cop: .+/)
  }

  it('cut at every length', () => {
    for (let n = 0; n < packed.length; n++) damagedBy(packed.subarray(0, n))
    damagedBy(Uint8Array.of(...packed, 0))
  })

  it('with every bit flipped, and with bytes overwritten', () => {
    for (let bit = 0; bit < packed.length * 8; bit++) {
      const bytes = packed.slice()
      bytes[bit >> 3] ^= 1 << (bit & 7)
      damagedBy(bytes)
    }
    const rng = random(99)
    for (let i = 0; i < 5000; i++) {
      const bytes = packed.slice()
      for (let n = 1 + rng.below(6); n > 0; n--) bytes[rng.below(bytes.length)] ^= 1 + rng.below(255)
      if (Buffer.compare(bytes, packed) !== 0) damagedBy(bytes)
    }
  })

  it('random bytes, with and without the right start', () => {
    const rng = random(5)
    for (let i = 0; i < 2000; i++) {
      const bytes = Uint8Array.from({ length: rng.below(300) }, () => rng.below(256))
      damagedBy(bytes)
      if (bytes.length >= 4) {
        bytes.set(packed.subarray(0, 4))
        damagedBy(bytes)
      }
    }
  })
})
