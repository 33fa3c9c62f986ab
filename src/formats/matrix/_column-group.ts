/** A group of columns of the CLA format: its four codings, their sizes, writing and reading. */
import { bitsFor, padded, peek, wordWriter } from './_bits.ts'
import { type FieldReader, type FieldWriter, widthFor } from './_fields.ts'
import { readArray, startsOf, writeArray } from './_sparse.ts'
import { readWords } from './_stream.ts'
import type { ColumnMajor } from './matrix.ts'

export interface Group {
  readonly first: number
  readonly width: number
  /** For each row, the number of its tuple. */
  readonly tuples: Uint32Array
  /** How many rows have each tuple, and in how many runs. */
  readonly counts: Uint32Array
  readonly runCounts: Uint32Array
  /** The number of the all-zero tuple, or -1. */
  readonly zero: number
  /** Index in `sizesOf`. */
  readonly coding: number
  readonly byteLength: number
}

const codings = ['plain', 'offsets', 'runs', 'numbers'] as const

/** Width and coding: one byte each. */
export const headBytes = 2

/** The bytes that each coding would take, in the order of `codings`. */
export function sizesOf(group: {
  rows: number
  width: number
  counts: Uint32Array
  runCounts: Uint32Array
  zero: number
}): number[] {
  const { rows, width, counts, runCounts, zero } = group
  const rowBytes = widthFor(rows)
  let listed = 0
  let runs = 0
  let [maxCount, maxRuns] = [0, 0]
  for (let t = 0; t < counts.length; t++) {
    if (t === zero) continue
    listed += counts[t]
    runs += runCounts[t]
    maxCount = Math.max(maxCount, counts[t])
    maxRuns = Math.max(maxRuns, runCounts[t])
  }
  const tuples = counts.length - (zero >= 0 ? 1 : 0)
  const dictionary = headBytes + 4 + 4 * width * tuples
  return [
    headBytes + 4 * width * rows,
    dictionary + 1 + widthFor(maxCount) * tuples + rowBytes * listed,
    dictionary + 1 + widthFor(maxRuns) * tuples + 2 * rowBytes * runs,
    headBytes + 4 + 4 * width * counts.length + 4 * Math.ceil((rows * bitsFor(counts.length)) / 32),
  ]
}

export function writeGroup(out: FieldWriter, { rows, bits }: ColumnMajor, group: Group): void {
  const { first, width, tuples, counts, coding } = group
  const valueAt = (row: number, j: number): number => bits[(first + j) * rows + row]
  out.u8(width)
  out.u8(coding)
  if (codings[coding] === 'plain') {
    out.ints(bits.subarray(first * rows, (first + width) * rows), 4)
    return
  }
  const zero = codings[coding] === 'numbers' ? -1 : group.zero
  // Tuples keep their order; the all-zero one leaves no gap.
  const place = (t: number): number => (zero >= 0 && t > zero ? t - 1 : t)
  const size = counts.length - (zero >= 0 ? 1 : 0)
  const dictionary = new Uint32Array(size * width)
  for (let row = 0; row < rows; row++) {
    if (tuples[row] === zero) continue
    for (let j = 0; j < width; j++) dictionary[place(tuples[row]) * width + j] = valueAt(row, j)
  }
  out.u32(size)
  out.ints(dictionary, 4)
  if (codings[coding] === 'numbers') {
    const stream = wordWriter()
    for (let row = 0; row < rows; row++) stream.write(tuples[row], bitsFor(size))
    out.ints(stream.finish(), 4)
  } else if (codings[coding] === 'offsets') writeOffsets(out, { tuples, size, place, zero })
  else writeRuns(out, { tuples, size, place, zero })
}

interface Listing {
  readonly tuples: Uint32Array
  readonly size: number
  readonly place: (tuple: number) => number
  readonly zero: number
}

function writeOffsets(out: FieldWriter, { tuples, size, place, zero }: Listing): void {
  const counts = new Uint32Array(size)
  for (const t of tuples) if (t !== zero) counts[place(t)]++
  const next = startsOf(counts)
  const rows = new Uint32Array(next[size])
  for (let row = 0; row < tuples.length; row++) if (tuples[row] !== zero) rows[next[place(tuples[row])]++] = row
  writeArray(out, counts)
  out.ints(rows, widthFor(tuples.length))
}

function writeRuns(out: FieldWriter, { tuples, size, place, zero }: Listing): void {
  const begins = (row: number): boolean => tuples[row] !== zero && (row === 0 || tuples[row] !== tuples[row - 1])
  const counts = new Uint32Array(size)
  for (let row = 0; row < tuples.length; row++) if (begins(row)) counts[place(tuples[row])]++
  const next = startsOf(counts)
  const starts = new Uint32Array(next[size])
  const lengths = new Uint32Array(next[size])
  for (let row = 0; row < tuples.length; row++) {
    if (tuples[row] === zero) continue
    const at = begins(row) ? next[place(tuples[row])]++ : next[place(tuples[row])] - 1
    if (lengths[at]++ === 0) starts[at] = row
  }
  writeArray(out, counts)
  out.ints(starts, widthFor(tuples.length))
  out.ints(lengths, widthFor(tuples.length))
}

export interface ReadGroup {
  readonly width: number
  /** Tuples one after another; the last is the all-zero one. */
  readonly dictionary: Uint32Array
  /** Writes the number of each row's tuple. */
  number(tuples: Uint32Array): void
}

/** Reads a group of at most `left` columns and checks it. */
export function readGroup(input: FieldReader, { rows, left }: { rows: number; left: number }): ReadGroup {
  const width = input.u8()
  const coding = codings[input.u8()]
  if (width === 0 || width > left || coding === undefined)
    throw input.fail(`a group has ${width} columns or a coding that is not known`)
  if (coding === 'plain') return readPlain(input, { rows, width })
  const size = input.u32()
  if (size > rows) throw input.fail(`a group has ${size} tuples for ${rows} rows`)
  const stored = input.ints(size * width, 4)
  const dictionary = new Uint32Array((size + 1) * width)
  dictionary.set(stored)
  const numbering = { numbers: readNumbers, offsets: readOffsets, runs: readRuns }[coding]
  return { width, dictionary, number: numbering(input, { rows, size }) }
}

function readPlain(input: FieldReader, { rows, width }: { rows: number; width: number }): ReadGroup {
  const columns = input.ints(rows * width, 4)
  const dictionary = new Uint32Array((rows + 1) * width)
  for (let row = 0; row < rows; row++)
    for (let j = 0; j < width; j++) dictionary[row * width + j] = columns[j * rows + row]
  return {
    width,
    dictionary,
    number(tuples) {
      for (let row = 0; row < rows; row++) tuples[row] = row
    },
  }
}

type Numbering = (input: FieldReader, shape: { rows: number; size: number }) => ReadGroup['number']

const readNumbers: Numbering = (input, { rows, size }) => {
  const bits = bitsFor(size)
  const words = padded(readWords(input, rows * bits))
  const at = (row: number): number => (bits === 0 ? 0 : peek(words, row * bits) >>> (32 - bits))
  for (let row = 0; row < rows; row++) if (at(row) >= size) throw input.fail(`tuple ${at(row)} is outside of ${size}`)
  return (tuples) => {
    for (let row = 0; row < rows; row++) tuples[row] = at(row)
  }
}

const readOffsets: Numbering = (input, { rows, size }) => {
  const starts = startsOf(readArray(input, size))
  const listed = input.ints(starts[size], widthFor(rows))
  for (const row of listed) if (row >= rows) throw input.fail(`row ${row} is outside of ${rows}`)
  return (tuples) => {
    tuples.fill(size)
    for (let t = 0; t < size; t++) for (let at = starts[t]; at < starts[t + 1]; at++) tuples[listed[at]] = t
  }
}

const readRuns: Numbering = (input, { rows, size }) => {
  const from = startsOf(readArray(input, size))
  const starts = input.ints(from[size], widthFor(rows))
  const lengths = input.ints(from[size], widthFor(rows))
  let covered = 0
  for (let i = 0; i < starts.length; i++) {
    covered += lengths[i]
    if (starts[i] + lengths[i] > rows || covered > rows)
      throw input.fail(`a run of ${lengths[i]} rows from row ${starts[i]} on ends outside of ${rows}`)
  }
  return (tuples) => {
    tuples.fill(size)
    for (let t = 0; t < size; t++)
      for (let at = from[t]; at < from[t + 1]; at++) tuples.fill(t, starts[at], starts[at] + lengths[at])
  }
}
