/**
 * The conformance suite of matrix formats: what each must hold. Decoding gives every bit back, products on the bytes
 * equal the dense product, sizes are the real ones and within the stated bound, and damage is a clear error.
 */
import { expect, it } from 'vitest'
import { crc32 } from '../checksum.ts'
import { headerBytes, type Matrix, type MatrixFormat, type OpenedMatrix } from '../formats/matrix/matrix.ts'
import { statisticsOf } from '../formats/matrix/statistics.ts'
import { type Random, random } from '../tensor/random.ts'

/** A matrix whose entries `draw` gives, row by row. */
export function matrixOf(rows: number, columns: number, draw: (i: number) => number): Matrix {
  return { rows, columns, values: Float32Array.from({ length: rows * columns }, (_, i) => draw(i)) }
}

/** Zeros but for a share `density`, which are of `k` values, the nth with a frequency of about 1/n. */
export function sharedMatrix(
  rows: number,
  columns: number,
  { density, k, seed = 1 }: { density: number; k: number; seed?: number },
): Matrix {
  const rng = random(seed)
  const codebook = Float32Array.from({ length: k }, () => rng.normal())
  return matrixOf(rows, columns, () => (rng.next() < density ? codebook[Math.floor(k ** rng.next()) - 1] : 0))
}

/** Matrices at the edges of what formats may meet, by name. */
export function edgeMatrices(): Record<string, Matrix> {
  const rng = random(3)
  const special = [0x7fc00000, 0xffc12345, 0x7f800001, 0x80000000, 0x00000001, 0x7f800000, 0, 0x3f800000]
  return {
    'no rows': matrixOf(0, 5, () => 1),
    'no columns': matrixOf(5, 0, () => 1),
    empty: matrixOf(0, 0, () => 1),
    'one entry': matrixOf(1, 1, () => 2),
    'one zero': matrixOf(1, 1, () => 0),
    'all zero': matrixOf(37, 21, () => 0),
    'all equal': matrixOf(37, 21, () => -0.25),
    'all -0': matrixOf(9, 7, () => -0),
    'one column': matrixOf(301, 1, () => (rng.next() < 0.3 ? rng.normal() : 0)),
    'one row': matrixOf(1, 301, () => (rng.next() < 0.3 ? rng.normal() : 0)),
    'one value and zeros': matrixOf(40, 33, () => (rng.next() < 0.2 ? 3 : 0)),
    'every value different': matrixOf(61, 43, () => rng.normal()),
    'NaN of several kinds, -0, infinity': matrixOfBits(64, 48, () => special[rng.below(8)]),
    'empty columns between full ones': matrixOf(70, 30, (i) => ((i % 30) % 3 === 0 ? 1 + (i % 5) : 0)),
    'long runs': matrixOf(300, 20, (i) => Math.floor(i / 2000)),
    'equal columns': matrixOf(90, 24, (i) => Math.floor(i / 24) % 4),
    'gaps of 31, 32, 255, 256 and 257': matrixOf(2000, 1, (i) => ([31, 63, 96, 352, 608, 866].includes(i) ? 1 : 0)),
    '256 rows': sharedMatrix(256, 9, { density: 0.3, k: 5 }),
    '257 rows': sharedMatrix(257, 9, { density: 0.3, k: 5 }),
    'more values than a byte counts': sharedMatrix(400, 50, { density: 0.9, k: 700 }),
    'very uneven values': sharedMatrix(200, 100, { density: 0.5, k: 64, seed: 9 }),
    'more than 65535 rows': sharedMatrix(65537, 3, { density: 0.01, k: 4 }),
  }
}

/** The product in float64, and the sum of magnitudes that errors are measured against. */
export function denseProduct(w: Matrix, x: Float32Array): { y: Float64Array; scale: Float64Array } {
  const y = new Float64Array(w.columns)
  const scale = new Float64Array(w.columns)
  for (let i = 0, at = 0; i < w.rows; i++) {
    for (let j = 0; j < w.columns; j++, at++) {
      if (w.values[at] === 0) continue
      y[j] += x[i] * w.values[at]
      scale[j] += Math.abs(x[i] * w.values[at])
    }
  }
  return { y, scale }
}

/** Registers the suite for one format. */
export function testFormat<Options extends object>(
  format: MatrixFormat<Options>,
  { options, boundHolds = true }: { options?: Options; boundHolds?: boolean } = {},
): void {
  const edges = edgeMatrices()

  for (const [name, matrix] of Object.entries(edges)) {
    it(`gives every bit back: ${name}`, () => expectSame(format.open(format.encode(matrix, options)).decode(), matrix))
  }

  // Columns of 33 one-bit codes begin at each of a word's 32 bits; three-bit codes lie across its end.
  it.each([
    [33, 2],
    [11, 8],
  ])('gives every bit back where columns begin at every bit of a word: %i rows of %i values', (rows, k) => {
    for (const first of [0, 1]) {
      const matrix = matrixOf(rows, 64, (i) => ((i * 7 + Math.floor(i / 64)) % k) + first)
      expectSame(format.open(format.encode(matrix, options)).decode(), matrix)
      expectSame(format.open(format.encode(matrix, options), { kernel: 'typescript' }).decode(), matrix)
      const x = Float32Array.from({ length: rows }, (_, i) => 1 + i / 4)
      expectProduct(format.open(format.encode(matrix, options)).matvec(x), { matrix, x, name: `${rows} x 64` })
    }
  })

  it('gives every bit back on 60 random matrices', () => {
    for (let seed = 0; seed < 60; seed++) {
      const rng = random(seed)
      const [rows, columns] = [1 + rng.below(90), 1 + rng.below(90)]
      const matrix = sharedMatrix(rows, columns, { density: rng.next(), k: 1 + rng.below(40), seed })
      const bytes = format.encode(matrix, options)
      expectSame(format.open(bytes).decode(), matrix)
      // As readFileSync gives them: a part of a larger buffer, of which `slice` is no copy.
      expectSame(format.open(Buffer.concat([Buffer.of(7), bytes]).subarray(1)).decode(), matrix)
    }
  })

  // n float32 products and sums, each rounded once: |error| <= n * 2^-23 * sum |x w|.
  it('multiplies as the dense matrix does, alone and in batches, in both kernels alike', () => {
    for (const [name, matrix] of Object.entries(edges)) {
      const bytes = format.encode(matrix, options)
      const open = [format.open(bytes), format.open(bytes, { kernel: 'typescript' })]
      const rng = random(5)
      const x = Float32Array.from({ length: 3 * matrix.rows }, () => rng.normal())
      const rowsOf = [0, 1, 2].map((b) => x.slice(b * matrix.rows, (b + 1) * matrix.rows))
      const batch = open[0].matmat(x, 3)
      expect(batch.length).toBe(3 * matrix.columns)
      for (const [b, row] of rowsOf.entries()) {
        const y = open[0].matvec(row)
        expectProduct(y, { matrix, x: row, name })
        expectProduct(batch.slice(b * matrix.columns, (b + 1) * matrix.columns), { matrix, x: row, name })
        expect(bitsOrNaN(open[1].matvec(row)), name).toEqual(bitsOrNaN(y))
      }
    }
  })

  it('says its size, and is within its bound', () => {
    for (const [name, matrix] of Object.entries(edges)) {
      const bytes = format.encode(matrix, options)
      const open = format.open(bytes)
      expect([open.format, open.rows, open.columns, open.byteLength]).toEqual([
        format.id,
        matrix.rows,
        matrix.columns,
        bytes.length,
      ])
      const entries = matrix.values.length
      if (boundHolds && entries > 0)
        expect(8 * bytes.length, name).toBeLessThanOrEqual(entries * format.bound(statisticsOf(matrix)) + 1e-6)
    }
  })

  it('gives the same bytes for the same matrix, and leaves it unchanged', () => {
    const matrix = sharedMatrix(50, 40, { density: 0.4, k: 9 })
    const before = matrix.values.slice()
    expect(format.encode(matrix, options)).toEqual(format.encode({ ...matrix, values: before.slice() }, options))
    expect(matrix.values).toEqual(before)
  })

  it('refuses every truncation and every flipped bit', () => {
    const bytes = format.encode(sharedMatrix(19, 11, { density: 0.4, k: 5 }), options)
    for (let n = 0; n < bytes.length; n++) expectRefused(() => format.open(bytes.slice(0, n)), `first ${n} bytes`)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3] ^= 1 << (bit & 7)
      expectRefused(() => format.open(flipped), `bit ${bit}`)
    }
  })

  it('takes hostile bytes with a right checksum as a clear error or a whole matrix', () => {
    const rng = random(11)
    const originals = [sharedMatrix(19, 11, { density: 0.4, k: 5 }), sharedMatrix(300, 4, { density: 0.05, k: 2 })].map(
      (m) => format.encode(m, options),
    )
    const outcomes = { error: 0, matrix: 0 }
    for (let i = 0; i < 1500; i++) outcomes[survives(format, mutated(originals[i % 2], rng), `mutation ${i}`)]++
    expect(outcomes.error).toBeGreaterThan(150)
  })

  it('refuses inputs and matrices of the wrong size', () => {
    const open = format.open(
      format.encode(
        matrixOf(3, 2, () => 1),
        options,
      ),
    )
    expect(() => open.matvec(new Float32Array(2))).toThrow(`${format.id}: an input of 2 values; expected 1 x 3`)
    expect(() => open.matmat(new Float32Array(5), 2)).toThrow(`${format.id}: an input of 5 values; expected 2 x 3`)
    const wrong = { rows: 3, columns: 2, values: new Float32Array(5) }
    expect(() => format.encode(wrong, options)).toThrow(`${format.id}: 5 values; expected 3 x 2`)
  })
}

/** Bits, not numbers: a number may quieten a NaN. */
function matrixOfBits(rows: number, columns: number, draw: () => number): Matrix {
  return { rows, columns, values: new Float32Array(Uint32Array.from({ length: rows * columns }, draw).buffer) }
}

/** The bits of a product; which of the kinds of NaN it has is the machine's to choose. */
function bitsOrNaN(y: Float32Array): (number | string)[] {
  return Array.from(new Uint32Array(y.buffer), (bits, i) => (Number.isNaN(y[i]) ? 'NaN' : bits))
}

export function expectSame(got: Matrix, wanted: Matrix): void {
  expect([got.rows, got.columns]).toEqual([wanted.rows, wanted.columns])
  const bits = ({ values }: Matrix): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  expect(Buffer.compare(bits(got), bits(wanted))).toBe(0)
}

function expectProduct(y: Float32Array, { matrix, x, name }: { matrix: Matrix; x: Float32Array; name: string }): void {
  const wanted = denseProduct(matrix, x)
  for (let j = 0; j < matrix.columns; j++) {
    const what = `${name}, column ${j}`
    if (Number.isFinite(wanted.y[j])) {
      const tolerance = (matrix.rows + 1) * 2 ** -23 * wanted.scale[j] + 2 ** -126
      expect(Math.abs(y[j] - wanted.y[j]), what).toBeLessThanOrEqual(tolerance)
    } else expect(y[j], what).toBe(wanted.y[j])
  }
}

function expectRefused(run: () => OpenedMatrix, what: string): void {
  let message = 'nothing was thrown'
  try {
    run()
  } catch (error) {
    message = (error as Error).message
  }
  expect(message, what).toMatch(/^[\w-]+: [^\n]+; [^\n]+$/)
}

/** Changes 1 to 4 bytes past the magic, shape among them, or cuts, and sets length and checksum right again. */
function mutated(bytes: Uint8Array, rng: Random): Uint8Array {
  let out = bytes.slice()
  if (rng.below(5) === 0) out = out.slice(0, headerBytes + rng.below(out.length - headerBytes + 1))
  for (let n = 1 + rng.below(4); n > 0 && out.length > headerBytes; n--) {
    const at = 4 + rng.below(out.length - 8)
    if (rng.below(3) === 0) out.fill(255, at, Math.min(out.length - 4, at + 4))
    else out[at] = rng.below(256)
  }
  const view = new DataView(out.buffer)
  view.setUint32(12, out.length, true)
  view.setUint32(out.length - 4, crc32(out.subarray(0, -4)), true)
  return out
}

function survives<O>(format: MatrixFormat<O>, bytes: Uint8Array, what: string): 'error' | 'matrix' {
  const start = performance.now()
  try {
    const open = format.open(bytes)
    // A sparse file may rightly stand for a great matrix: what it takes is bounded by the shape, not by the bytes.
    if (open.rows * open.columns > 1e6 || open.rows > 1e6 || open.columns > 1e6) return 'matrix'
    expect(open.decode().values.length, what).toBe(open.rows * open.columns)
    expect(open.matvec(new Float32Array(open.rows).fill(1)).length, what).toBe(open.columns)
    return 'matrix'
  } catch (error) {
    expect((error as Error).message, what).toMatch(/^[\w-]+: [^\n]+; [^\n]+$/)
    return 'error'
  } finally {
    expect(performance.now() - start, what).toBeLessThan(5000)
  }
}
