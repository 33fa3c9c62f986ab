/** What is large stays within what engines allow, and what is small cannot make them fall over. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { ModelProto } from '../onnx/schema.ts'
import { encode, type Message } from '../onnx/wire.ts'
import { type DataType, dataTypes } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { bitReader } from './bits.ts'
import { bytesEncoder } from './coding/bytes.ts'
import { chooseForm } from './coding/choose-form.ts'
import { codings } from './coding/codings.ts'
import { maxGraphExpansion, writeContainer } from './container.ts'
import { Distinct } from './distinct.ts'
import { BinaryEncoder } from './entropy/range-coder.ts'
import { codeMessage, maxItems, primedMixer } from './graph-coder.ts'
import * as matrixFormats from './matrix/index.ts'
import type { MatrixFormat } from './matrix/matrix.ts'
import { codePlain, plainForms, plainMemory } from './plain-text.ts'
import { infoOf, tensorCoder } from './tensor-coder.ts'
import { type UnpackOptions, unpackOnnx } from './unpack-onnx.ts'

const rng = random(4)

it('half floats hold no text', () => {
  const info = { dtype: 'float16', dims: [4], size: 4, byteLength: 8 } as const
  const bytes = codings.find((c) => c.name === 'bytes')
  expect(() =>
    bytes?.decode(info, { parameters: [3], table: new Uint8Array(0) }, bitReader(new Uint8Array(64))),
  ).toThrow(/a text is of no known form/)
})

it('a text of few bits that says it is long takes no time, whether it ends too soon or has one character', () => {
  const size = 2 ** 28
  const info = { dtype: 'uint8', dims: [size], size, byteLength: size } as const
  const bytes = codings.find((c) => c.name === 'bytes')
  const decode = (stream: Uint8Array): Uint8Array | undefined => {
    const raw = bitReader(Uint8Array.of(0, 0, 0, stream.length, ...stream))
    return bytes?.decode(info, { parameters: [4], table: new Uint8Array(0) }, raw)
  }
  const streamOf = (text: string): Uint8Array => {
    const coder = new BinaryEncoder()
    const form = plainForms.counted
    codePlain(coder, { form, length: text.length, bytes: new TextEncoder().encode(text) }, plainMemory())
    return coder.finish()
  }
  expect(() => decode(streamOf('to and fro'))).toThrow(/raw bits end too soon/)
  expect(decode(streamOf('aaaa'))?.at(-1)).toBe(97)
}, 3000)

describe('small files that say much', () => {
  /** A file whose head says `message`, its tensors as integers, as far as an encoder goes along; no group holds anything. */
  function fileOf(message: Message, sizes: { tensors?: number; graph?: number } = {}): Uint8Array {
    const coder = new BinaryEncoder()
    const mixer = primedMixer(coder)
    const describeTensor = tensorCoder(mixer)
    const coding = codings[3]
    let groups = 0
    const codeTensor = (parent: Message): void => {
      groups = 1
      const info = infoOf(parent)
      describeTensor.code({ info, coding, coded: { parameters: [0] } }, info)
    }
    try {
      codeMessage(mixer, ModelProto, message, { check: () => {}, codeTensor })
    } catch {
      // Up to here it may say what no encoder does.
    }
    const { tensors = 0, graph = encode(ModelProto, message).byteLength } = sizes
    const coded = coder.finish()
    const head = new Uint8Array(Math.max(coded.length, Math.ceil(graph / maxGraphExpansion)))
    head.set(coded)
    const nothing = { integers: new Uint8Array(20_000), raw: new Uint8Array(0) }
    const byteLength = graph + tensors
    return writeContainer({
      mode: 'fast',
      byteLength,
      graphByteLength: graph,
      head,
      groups: Array(groups).fill(nothing),
    })
  }
  const tensorOf = (dtype: DataType, dims: readonly number[]): Message => ({
    irVersion: 8,
    graph: { initializers: [{ dims, dataType: dataTypes[dtype].code, rawData: new Uint8Array(0) }] },
  })

  const tensors: [DataType, number[], UnpackOptions, string][] = [
    ['int2', [2, 2 ** 32 - 8192], {}, `a tensor has ${2 ** 33 - 16384} integers; expected at most ${2 ** 30}`],
    ['int4', [2, 32768 * 65472], {}, `a tensor has ${65536 * 65472} integers; expected at most ${2 ** 30}`],
    ['int8', [2, 2 ** 31], { maxBytes: 2 ** 33 }, `a tensor has ${2 ** 31} integers; expected at most ${2 ** 30}`],
    ['int2', [2 ** 22], { maxBytes: 2 ** 21 }, `a tensor has ${2 ** 22} integers; expected at most ${2 ** 21}`],
  ]
  it.each(tensors)('%s %j', (dtype, dims, options, sentence) => {
    const byteLength = (dims.reduce((a, b) => a * b) * dataTypes[dtype].bits) / 8
    const file = fileOf(tensorOf(dtype, dims), { tensors: byteLength })
    expect(() => unpackOnnx(file, options)).toThrow(new Error(`cop: ${sentence}`))
  })

  it('a list of more items than a graph may have is refused before its first', () => {
    const ints = new Array(maxItems)
    const message = { graph: { nodes: [{ attributes: [{ name: 'a', ints }] }] } }
    expect(() => unpackOnnx(fileOf(message, { graph: 2 ** 26 }))).toThrow(
      new Error(`cop: the graph has more than ${maxItems} items; expected fewer`),
    )
  })

  it('messages count as what they take', () => {
    const message = { graph: { nodes: new Array(1000).fill({}) } }
    expect(unpackOnnx(fileOf(message)).length).toBe(encode(ModelProto, message).byteLength)
    expect(() => unpackOnnx(fileOf(message, { graph: 1000 }))).toThrow('the head says more than its sizes allow')
  })

  it('a graph of more than 64 MiB is refused', () => {
    expect(() => unpackOnnx(fileOf({}, { graph: 2 ** 26 + 1 }))).toThrow(
      new Error(`cop: the graph inside is ${2 ** 26 + 1} bytes long; expected at most ${2 ** 26}`),
    )
  })
})

describe('large tensors', () => {
  afterEach(() => {
    vi.restoreAllMocks()
    vi.unstubAllGlobals()
  })

  it('raw bits are read beyond 2^31 of them', () => {
    const bytes = new Uint8Array(2 ** 28 + 2)
    bytes[2 ** 28 + 1] = 0xa5
    const bits = bitReader(bytes)
    for (let i = 0; i < 2 ** 26; i++) bits.read(32)
    expect([bits.read(8), bits.read(8), bits.atEnd()]).toEqual([0, 0xa5, true])
  })

  /** Sets and Maps as engines have them, but for a limit that a test can reach. */
  const withSmallSets = <T>(run: () => T): T => {
    const full = (size: number): void => {
      if (size >= 1000) throw new RangeError('Set maximum size exceeded')
    }
    class SmallSet extends Set<unknown> {
      override add(value: unknown): this {
        full(this.size)
        return super.add(value)
      }
    }
    class SmallMap extends Map<unknown, unknown> {
      override set(key: unknown, value: unknown): this {
        full(this.size)
        return super.set(key, value)
      }
    }
    vi.stubGlobal('Set', SmallSet)
    vi.stubGlobal('Map', SmallMap)
    try {
      return run()
    } finally {
      vi.unstubAllGlobals()
    }
  }

  it('many values take no Set, and elements are looked for where enough repeat', () => {
    const size = 20000
    const half = Float32Array.from({ length: size / 2 }, () => rng.normal())
    const mirrored = Float32Array.from({ length: size }, (_, i) => half[Math.min(i, size - 1 - i)])
    const random = Float32Array.from({ length: size }, () => rng.normal())
    const info = { dtype: 'float32', dims: [size], size, byteLength: 4 * size } as const
    withSmallSets(() => {
      const found = bytesEncoder.encode(info, new Uint8Array(mirrored.buffer))
      expect(found?.coded.parameters).toEqual([1])
      expect(found?.bits).toBeLessThan(20 * size)
      expect(bytesEncoder.encode(info, new Uint8Array(random.buffer))?.coded.parameters).toEqual([0])
      expect(
        chooseForm(
          Int32Array.from({ length: size }, () => rng.next() * 2 ** 31),
          [size],
        ).lowBits,
      ).toBe(24)
    })
  })

  it('distinct values are numbered as they come', () => {
    const distinct = new Distinct()
    const numbers = new Map<number, number>()
    for (let i = 0; i < 20_000; i++) {
      const value = (rng.below(3000) * 0x9e3779b1) >>> 0
      expect(distinct.find(value)).toBe(numbers.get(value) ?? -1)
      const number = distinct.add(value)
      if (!numbers.has(value)) numbers.set(value, numbers.size)
      expect(number).toBe(numbers.get(value))
      distinct.notes[number]++
    }
    expect(distinct.size).toBe(numbers.size)
    expect([...distinct.keys.subarray(0, distinct.size)]).toEqual([...numbers.keys()])
    expect(distinct.notes.reduce((a, b) => a + b)).toBe(20_000)
  })

  it.each(Object.values(matrixFormats) as MatrixFormat[])('$id puts no entries into plain arrays', (format) => {
    const values = Float32Array.from({ length: 64 * 64 }, () => rng.below(5))
    // By hand: a spy pushes its calls.
    const { push } = Array.prototype
    let calls = 0
    Array.prototype.push = function (...items) {
      calls++
      return push.apply(this, items)
    }
    try {
      format.encode({ rows: 64, columns: 64, values })
    } finally {
      Array.prototype.push = push
    }
    expect(calls).toBeLessThan(400)
  })
})
