/** Every format through the conformance suite; a large case; layers as matrices; opening by name. */
import { readdirSync } from 'node:fs'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { matrixOf, sharedMatrix, testFormat } from '../../testing/test-format.ts'
import { matrixOfWeight, weightOfMatrix } from './convolution.ts'
import { cscArrays } from './csc.ts'
import * as formats from './index.ts'
import type { MatrixFormat } from './matrix.ts'
import { openMatrix } from './open.ts'
import { statisticsOf } from './statistics.ts'

const all = Object.values(formats) as MatrixFormat[]

for (const format of all) describe(format.id, () => testFormat(format))
describe('csr-relative with 5-bit gaps', () =>
  testFormat(formats.csrRelative, { options: { gapBits: 5 }, boundHolds: false }))
describe('index-map, aligned', () =>
  testFormat(formats.indexMap, { options: { indexBits: 'aligned' }, boundHolds: false }))

it('every file of the folder that is a format is in the table, with a code of its own', () => {
  const support = ['convolution.ts', 'index.ts', 'matrix.ts', 'open.ts', 'statistics.ts']
  const files = readdirSync(new URL('.', import.meta.url)).filter(
    (f) => f.endsWith('.ts') && !f.startsWith('_') && !f.includes('.test.') && !support.includes(f),
  )
  expect(files.map((f) => f.slice(0, -3)).sort()).toEqual(all.map((f) => f.id).sort())
  expect(new Set(all.map((f) => f.code)).size).toBe(all.length)
})

it('csc: the published example', () => {
  const w = [
    [1, 0, 4, 0, 0],
    [0, 10, 0, 0, 0],
    [2, 3, 0, 0, 5],
    [0, 0, 0, 0, 0],
    [0, 0, 0, 0, 6],
  ]
  const bits = Uint32Array.from(
    w[0].flatMap((_, j) => w.map((row) => new Uint32Array(Float32Array.of(row[j]).buffer)[0])),
  )
  const { nz, ri, cb } = cscArrays({ rows: 5, columns: 5, bits })
  expect(Array.from(new Float32Array(nz.buffer))).toEqual([1, 2, 10, 3, 4, 5, 6])
  expect(Array.from(ri, (i) => i + 1)).toEqual([1, 3, 2, 3, 1, 3, 5])
  expect(Array.from(cb, (i) => i + 1)).toEqual([1, 3, 5, 6, 6, 8])
})

it('index-map: 16 weights of 4 values are compressed 3.2 times (Deep Compression, figure 3), its head left out', () => {
  const matrix = matrixOf(4, 4, (i) => 1 + (i % 4))
  const head = 25 // format header, k, width
  expect((16 * 32) / (8 * (formats.indexMap.encode(matrix).length - head))).toBe(3.2)
})

it('csr-relative: a gap past its bits becomes a filler', () => {
  const matrix = matrixOf(40, 1, (i) => (i === 1 || i === 39 ? 2 : 0))
  const open = formats.csrRelative.open(formats.csrRelative.encode(matrix, { gapBits: 5 }))
  expect(open.decode().values).toEqual(matrix.values)
})

it('hac and shac: columns of 33 bits, so that they begin at every bit of a word, and of three-bit codes across its end', () => {
  for (const [rows, k, bits] of [
    [33, 2, 1],
    [11, 8, 3],
  ]) {
    const matrix = matrixOf(rows, 64, (i) => ((i * 7 + Math.floor(i / 64)) % k) + 1)
    const tableBytes = 4 + 4 * k + 1 + bits
    const words = 4 * Math.ceil((64 * rows * bits) / 32)
    expect(formats.hac.encode(matrix).length).toBe(20 + tableBytes + 1 + 64 + words)
    expect(formats.shac.encode(matrix).length).toBe(20 + tableBytes + 2 + 2 * 64 + 64 * rows + words)
  }
})

it('shac holds its paper bound on shared weights, and beats csc and (sparse enough) hac', () => {
  const matrix = sharedMatrix(512, 256, { density: 0.05, k: 32 })
  const size = (f: MatrixFormat): number => f.encode(matrix).length
  expect(size(formats.shac)).toBeLessThan(size(formats.csc) / 2)
  expect(size(formats.shac)).toBeLessThan(size(formats.hac))
  const { density, entropy } = statisticsOf(matrix)
  expect(density).toBeGreaterThan(0.04)
  expect((8 * size(formats.hac)) / matrix.values.length).toBeGreaterThan(entropy)
})

describe('10 million entries', () => {
  const matrix = sharedMatrix(2500, 4000, { density: 0.1, k: 32 })
  for (const format of all) {
    it(format.id, () => {
      const open = openMatrix(format.encode(matrix))
      const { values } = open.decode()
      expect(Buffer.compare(new Uint8Array(values.buffer), new Uint8Array(matrix.values.buffer))).toBe(0)
    })
  }
})

it('opening by the name in the header', () => {
  const matrix = matrixOf(3, 4, (i) => i)
  for (const format of all) expect(openMatrix(format.encode(matrix)).format).toBe(format.id)
  expect(() => openMatrix(new Uint8Array(40))).toThrow(/^matrix: 40 bytes that do not begin with "CMX"; /)
  expect(() => openMatrix(Uint8Array.from([67, 77, 88, 99, ...new Array(20).fill(0)]))).toThrow(
    /format 99 is not known/,
  )
})

describe('where there is no memory for WebAssembly', () => {
  afterEach(() => void vi.restoreAllMocks())
  const matrix = sharedMatrix(100, 50, { density: 0.4, k: 9 })
  const x = Float32Array.from({ length: 100 }, (_, i) => Math.sin(i))
  const outOfMemory = (): never => {
    throw new RangeError('WebAssembly: Out of memory')
  }
  class Missing {
    constructor() {
      outOfMemory()
    }
  }
  it.each([formats.dense, formats.csc, formats.indexMap, formats.hac, formats.shac])(
    '$id multiplies in TypeScript',
    (format) => {
      const bytes = format.encode(matrix)
      const expected = format.open(bytes, { kernel: 'typescript' }).matvec(x)
      const grow = vi.spyOn(WebAssembly.Memory.prototype, 'grow').mockImplementation(outOfMemory)
      const open = format.open(bytes)
      expect(open.matvec(x)).toEqual(expected)
      expect(open.matvec(x)).toEqual(expected)
      expect(grow).toHaveBeenCalledTimes(1)
      vi.restoreAllMocks()
      const { Instance } = WebAssembly
      Object.assign(WebAssembly, { Instance: Missing })
      try {
        expect(format.open(bytes).matvec(x)).toEqual(expected)
      } finally {
        Object.assign(WebAssembly, { Instance })
      }
    },
  )
})

it('cser: inputs of rows that are not listed are not lost beside a large one', () => {
  const x = Float32Array.of(1e30, 1, 0, 0)
  const open = formats.cser.open(
    formats.cser.encode({ rows: 4, columns: 1, values: Float32Array.of(1e-30, 0.5, 0.5, 0.5) }),
  )
  expect([...open.matvec(x)]).toEqual([1.5])
})

it('cser: rows come in order, by counting and by comparing', () => {
  for (const k of [3, 700]) {
    const matrix = sharedMatrix(150, 40, { density: 0.9, k, seed: 5 })
    expect(formats.cser.open(formats.cser.encode(matrix)).decode().values).toEqual(matrix.values)
  }
})

it('layers as matrices: a column an output, and back', () => {
  const dims = [4, 3, 2, 2]
  const values = Float32Array.from({ length: 48 }, (_, i) => i)
  const kernel = matrixOfWeight(values, dims)
  expect([kernel.rows, kernel.columns]).toEqual([12, 4])
  // Row 5 of column 2: channel 1, window (0, 1), of filter 2.
  expect(kernel.values[5 * 4 + 2]).toBe(values[2 * 12 + 5])
  expect(weightOfMatrix(kernel, dims)).toEqual(values)
  const matmul = matrixOfWeight(values, [12, 4], 1)
  expect(matmul.values).toEqual(values)
  expect(weightOfMatrix(matrixOfWeight(values, dims, 1), dims, 1)).toEqual(values)
  expect(() => matrixOfWeight(values, [48])).toThrow(/^matrix: a weight of shape \[48\]/)
})
