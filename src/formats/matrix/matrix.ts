/**
 * Matrix formats: weights ↔ bytes, with products straight on the bytes.
 *
 * A matrix has n rows (inputs) and m columns (outputs), and the product is y = xᵀW, as in Marinò et al. 2021,
 * "Compact representations of convolutional neural networks via weight pruning and quantization". Formats store columns
 * one after another. Values are kept bit for bit; only +0 counts as zero, so -0 and NaN are values like others.
 *
 * Every encoded matrix is: "CMX", the format's code, rows, columns and the length in bytes (u32 each), the format's own
 * fields, and a CRC-32 of all before it. Sizes count every one of these bytes. Little-endian throughout.
 */
import { crc32 } from '../../checksum.ts'
import { type FieldReader, type FieldWriter, fieldReader, fieldWriter } from './_fields.ts'

export interface Matrix {
  readonly rows: number
  readonly columns: number
  /** Row-major, rows x columns. */
  readonly values: Float32Array
}

/** What a bound depends on. */
export interface MatrixStatistics {
  readonly rows: number
  readonly columns: number
  /** Share of entries that are not +0, within [0, 1]. */
  readonly density: number
  /** Distinct values other than +0. */
  readonly distinct: number
}

export interface OpenedMatrix {
  readonly format: string
  readonly rows: number
  readonly columns: number
  /** The size of the encoded bytes, header and checksum included. */
  readonly byteLength: number
  decode(): Matrix
  /** y = xᵀW: x has `rows` finite values, y has `columns`. Sums are in float64 unless the format says otherwise. */
  matvec(x: Float32Array): Float32Array
  /** Y = XW for a batch of inputs: X is batch x rows, Y is batch x columns, both row-major. */
  matmat(x: Float32Array, batch: number): Float32Array
}

export interface OpenOptions {
  /** `auto` takes WebAssembly where there is a kernel and the machine allows it; both give the same bits. */
  readonly kernel?: 'auto' | 'typescript'
}

export interface MatrixFormat<Options = object> {
  /** Kebab-case, the name of its file. */
  readonly id: string
  /** The byte that names it in the header. */
  readonly code: number
  /** One line for lists. */
  readonly help: string
  encode(matrix: Matrix, options?: Options): Uint8Array
  /** Checks the bytes once, so that decoding and products need not. Throws one sentence where they are damaged. */
  open(bytes: Uint8Array, options?: OpenOptions): OpenedMatrix
  /** An upper bound in bits per entry: the paper's, with the header's bytes and the widths that are really used. */
  bound(statistics: MatrixStatistics): number
}

/** The entries of one column that are not +0. Rows ascend. The arrays are reused from column to column. */
export interface ColumnEntries {
  readonly rows: Uint32Array
  readonly bits: Uint32Array
  /** The same memory as `bits`. */
  readonly values: Float32Array
  count: number
}

/** What a format makes of its fields. */
export interface Body {
  /** Visits every column in order. Also run once on opening, as the check of what fields alone do not show. */
  walk(entries: ColumnEntries, visit: (column: number) => void): void
  /** A better way than `walk`, where there is one and (else undefined) it fits this x. */
  matvec?(x: Float32Array): Float32Array | undefined
  /** False where opening has checked everything without a walk. */
  readonly needsWalk?: boolean
}

export interface FormatSpec<Options> {
  readonly id: string
  readonly code: number
  readonly help: string
  /** Writes the fields of a matrix whose values, as bits, are given column-major. */
  write(out: FieldWriter, columns: ColumnMajor, options: Options): void
  read(input: FieldReader, shape: { rows: number; columns: number }, options: OpenOptions): Body
  /** In bits per entry, without the header. */
  bound(statistics: MatrixStatistics): number
}

export interface ColumnMajor {
  readonly rows: number
  readonly columns: number
  readonly bits: Uint32Array
}

/** Larger matrices are refused: 2^27 entries are 512 MiB as floats. */
export const maxEntries = 2 ** 27
export const headerBytes = 20
const magic = 0x584d43 // "CMX"

/** Makes a format of its spec: header, checks, decoding and products are the same for all. */
export function defineFormat<Options extends object>(spec: FormatSpec<Options>): MatrixFormat<Options> {
  return {
    id: spec.id,
    code: spec.code,
    help: spec.help,
    encode: (matrix, options) => encode(spec, matrix, options ?? ({} as Options)),
    open: (bytes, options) => open(spec, bytes, options ?? {}),
    bound: (statistics) => spec.bound(statistics) + (8 * headerBytes) / (statistics.rows * statistics.columns),
  }
}

function encode<Options>(spec: FormatSpec<Options>, matrix: Matrix, options: Options): Uint8Array {
  const { rows, columns, values } = matrix
  checkShape(spec.id, rows, columns)
  if (values.length !== rows * columns)
    throw new Error(`${spec.id}: ${values.length} values; expected ${rows} x ${columns}`)
  const out = fieldWriter()
  out.u32(magic | (spec.code << 24))
  out.ints([rows, columns, 0], 4)
  spec.write(out, { rows, columns, bits: columnMajor(matrix) }, options)
  out.u32(0)
  const bytes = out.finish()
  const view = new DataView(bytes.buffer)
  view.setUint32(12, bytes.length, true)
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true)
  return bytes
}

/** The code of the format that made the bytes. */
export function formatCodeOf(bytes: Uint8Array): number {
  if (bytes.length < headerBytes || bytes[0] !== 67 || bytes[1] !== 77 || bytes[2] !== 88)
    throw new Error(`matrix: ${bytes.length} bytes that do not begin with "CMX"; expected an encoded matrix`)
  return bytes[3]
}

function open<Options>(spec: FormatSpec<Options>, bytes: Uint8Array, options: OpenOptions): OpenedMatrix {
  const code = formatCodeOf(bytes)
  if (code !== spec.code) throw new Error(`${spec.id}: the matrix is of format ${code}; expected ${spec.code}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [rows, columns, byteLength] = [4, 8, 12].map((at) => view.getUint32(at, true))
  if (byteLength !== bytes.length)
    throw new Error(`${spec.id}: ${bytes.length} bytes, the header says ${byteLength}; the matrix is cut or damaged`)
  if (crc32(bytes.subarray(0, -4)) !== view.getUint32(byteLength - 4, true))
    throw new Error(`${spec.id}: the checksum does not fit; the matrix is damaged`)
  checkShape(spec.id, rows, columns)
  const input = fieldReader(spec.id, bytes, { at: 16, end: byteLength - 4 })
  const body = spec.read(input, { rows, columns }, options)
  input.end()
  const entries = newEntries(rows)
  if (body.needsWalk !== false) body.walk(entries, () => {})
  const subject = spec.id
  return {
    format: spec.id,
    rows,
    columns,
    byteLength,
    decode: () => decode(body, entries, { rows, columns }),
    matvec(x) {
      checkInput(subject, x, { rows, batch: 1 })
      return body.matvec?.(x) ?? product(body, entries, { x, batch: 1, rows, columns })
    },
    matmat(x, batch) {
      checkInput(subject, x, { rows, batch })
      return product(body, entries, { x, batch, rows, columns })
    },
  }
}

function checkShape(subject: string, rows: number, columns: number): void {
  if (rows * columns > maxEntries || rows > maxEntries || columns > maxEntries)
    throw new Error(`${subject}: a matrix of ${rows} x ${columns}; expected at most ${maxEntries} entries`)
}

function checkInput(subject: string, x: Float32Array, { rows, batch }: { rows: number; batch: number }): void {
  if (x.length !== rows * batch)
    throw new Error(`${subject}: an input of ${x.length} values; expected ${batch} x ${rows}`)
}

function newEntries(rows: number): ColumnEntries {
  const bits = new Uint32Array(rows)
  return { rows: new Uint32Array(rows), bits, values: new Float32Array(bits.buffer), count: 0 }
}

function decode(body: Body, entries: ColumnEntries, { rows, columns }: { rows: number; columns: number }): Matrix {
  const out = new Uint32Array(rows * columns)
  body.walk(entries, (column) => {
    for (let i = 0; i < entries.count; i++) out[entries.rows[i] * columns + column] = entries.bits[i]
  })
  return { rows, columns, values: new Float32Array(out.buffer) }
}

function product(
  body: Body,
  entries: ColumnEntries,
  { x, batch, rows, columns }: { x: Float32Array; batch: number; rows: number; columns: number },
): Float32Array {
  const y = new Float32Array(batch * columns)
  const { rows: at, values } = entries
  body.walk(entries, (column) => {
    const { count } = entries
    for (let b = 0, from = 0; b < batch; b++, from += rows) {
      let sum = 0
      for (let i = 0; i < count; i++) sum += x[from + at[i]] * values[i]
      y[b * columns + column] = sum
    }
  })
  return y
}

/** The bits of a row-major matrix, column by column; in blocks, for the cache. */
function columnMajor({ rows, columns, values }: Matrix): Uint32Array {
  const from = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const to = new Uint32Array(values.length)
  const block = 32
  for (let i0 = 0; i0 < rows; i0 += block) {
    for (let j0 = 0; j0 < columns; j0 += block) {
      const i1 = Math.min(rows, i0 + block)
      const j1 = Math.min(columns, j0 + block)
      for (let j = j0; j < j1; j++) for (let i = i0; i < i1; i++) to[j * rows + i] = from[i * columns + j]
    }
  }
  return to
}
