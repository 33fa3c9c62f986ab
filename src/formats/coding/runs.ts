/**
 * A tensor that shares runs of elements with earlier tensors of its type: rows added to one, a slice, several put together, the
 * same backwards, with other signs or times a power of two. The table says where runs lie; the elements between them are coded
 * as bytes are. Packing finds the runs; unpacking fills them in, so that groups are decoded apart from each other.
 */
import { dataTypes } from '../../tensor/dtype.ts'
import { fold, unfold } from '../bits.ts'
import { varint } from '../container.ts'
import { bytes, bytesEncoder } from './bytes.ts'
import { type Coding, damaged, type Encoder, type TensorInfo } from './coding.ts'

/** `length` elements from `at` on are those of the part `distance` before, from `from` on. */
export interface Run {
  readonly at: number
  readonly length: number
  readonly distance: number
  readonly from: number
  /** The elements come in reverse. */
  readonly backward: boolean
  /** All signs are the other ones. */
  readonly negated: boolean
  /** What is added to the highest 16 bits of each element but zeros: to a float's exponent, for one times a power of two. */
  readonly added: number
}

export const runs: Coding = {
  name: 'runs',
  parameterCount: 1,
  hasTable: true,
  hasRaw: true,
  decode(info, coded, raw) {
    const all = readRuns(coded.table, info)
    const between = freshOf(info, all)
    const fresh = bytes.decode(between, coded, raw)
    const out = new Uint8Array(info.byteLength)
    eachGap(info, all, (from, to, done) => out.set(fresh.subarray(done, done + to - from), from))
    return out
  },
}

export const runsEncoder: Encoder = {
  coding: runs,
  encode: () => undefined,
  writeRaw({ info, data }, coded, out) {
    const all = readRuns(coded.table, info)
    const between = freshOf(info, all)
    const fresh = new Uint8Array(between.byteLength)
    eachGap(info, all, (from, to, done) => fresh.set(data.subarray(from, to), done))
    bytesEncoder.writeRaw?.({ info: between, data: fresh }, coded, out)
  },
}

/** The elements that are in no run, as a vector. */
function freshOf({ dtype, size }: TensorInfo, all: readonly Run[]): TensorInfo {
  const left = all.reduce((n, r) => n - r.length, size)
  return { dtype, dims: [left], size: left, byteLength: (left * dataTypes[dtype].bits) / 8 }
}

/** Calls with each gap between runs, in bytes, and how many bytes lay in gaps before it. */
function eachGap(info: TensorInfo, all: readonly Run[], visit: (from: number, to: number, done: number) => void): void {
  const width = dataTypes[info.dtype].bits / 8
  let end = 0
  let done = 0
  for (const { at, length } of [...all, { at: info.size, length: 0 }]) {
    visit(end * width, at * width, done)
    done += (at - end) * width
    end = at + length
  }
}

/** Writes into a decoded tensor what its runs take from the data of other parts. */
export function fillRuns(
  data: Uint8Array,
  info: TensorInfo,
  all: readonly Run[],
  sourceOf: (distance: number) => Uint8Array,
): void {
  const width = dataTypes[info.dtype].bits / 8
  for (const { at, length, distance, from, backward, negated, added } of all) {
    const source = sourceOf(distance)
    if ((from + length) * width > source.length) throw damaged('a run reaches beyond its tensor')
    for (let i = 0; i < length; i++) {
      const to = (at + i) * width
      const element = (backward ? from + length - 1 - i : from + i) * width
      for (let b = 0; b < width; b++) data[to + b] = source[element + b]
      const last = to + width - 1
      if (negated) data[last] ^= 0x80
      const top = (data[last] << 8) | data[last - 1]
      if (added === 0 || (top & 0x7fff) === 0) continue
      data[last] = (top + added) >> 8
      data[last - 1] = top + added
    }
  }
}

/**
 * The runs in a table of numbers (LEB128), five for each: elements since the last run, its length, 1 if backward + 2 if negated + 4
 * times what is added, the distance, and where it begins against the end of the last run's source; the last, and what is added, as
 * 2x for x of 0 or more, and 2x - 1 for -x.
 */
export function readRuns(table: Uint8Array | undefined, { dtype, size }: TensorInfo): Run[] {
  const all: Run[] = []
  if (!table || dataTypes[dtype].bits < 8) throw damaged('a tensor in runs has no table of them')
  const reader = { bytes: table, at: 0 }
  let end = 0
  let last = 0
  while (reader.at < table.length) {
    const at = end + varint(reader)
    const length = varint(reader)
    const kind = varint(reader)
    const distance = varint(reader)
    const from = last + unfold(varint(reader))
    end = at + length
    last = from + length
    if (length < 1 || end > size || kind >= (dataTypes[dtype].bits > 8 ? 2 ** 20 : 4) || distance < 1 || from < 0)
      throw damaged('a run reaches beyond its tensor')
    all.push({ at, length, distance, from, backward: kind % 2 === 1, negated: kind % 4 > 1, added: unfold(kind >> 2) })
  }
  return all
}

/** The table of these runs. */
export function writeRuns(all: readonly Run[]): Uint8Array {
  const out: number[] = []
  const number = (value: number): void => {
    let rest = value
    for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128)
    out.push(rest)
  }
  let end = 0
  let last = 0
  for (const { at, length, distance, from, backward, negated, added } of all) {
    number(at - end)
    number(length)
    number((backward ? 1 : 0) + (negated ? 2 : 0) + 4 * fold(added))
    number(distance)
    number(fold(from - last))
    end = at + length
    last = from + length
  }
  return Uint8Array.from(out)
}
