/**
 * Finds runs of elements that a tensor shares with earlier ones. Windows of a few elements are marked where a hash of them says so,
 * alike in all tensors; the hash knows neither order nor signs nor exponents, so that runs that are backwards, negated or scaled by
 * a power of two are found too.
 */
import { type DataType, dataTypes } from '../tensor/dtype.ts'
import type { TensorInfo } from './coding/coding.ts'
import type { Run } from './coding/runs.ts'
import { Distinct } from './distinct.ts'
import { Numbers } from './memory.ts'

/** A tensor, or a part of one. */
export interface Searched {
  readonly info: TensorInfo
  readonly read: () => Uint8Array
  /** Of each marked window a hash, where it begins, and another hash. */
  readonly marks: Uint32Array
}

/** Numbers of each mark. */
const marked = 3
/** Tensors of fewer bytes are not looked at. */
const leastBytes = 64
/** One window in so many is marked; of large tensors, one in four times as many. */
const oneIn = 16
const largeSize = 1 << 20
/** Bytes that a run must have. */
const leastRun = 24
/** Elements that a run may skip, where it goes on as it was behind them. */
const mostSkipped = 4

const windowOf = (width: number): number => (width === 1 ? 16 : 8)

/** The marks of a tensor; none where runs are not looked for. */
export function marksOf(info: TensorInfo, data: Uint8Array): Uint32Array {
  const width = dataTypes[info.dtype].bits / 8
  if (info.byteLength < leastBytes || ![1, 2, 4, 8].includes(width)) return new Uint32Array(0)
  const window = windowOf(width)
  const words = new Words(info, data)
  const every = oneIn * (info.size > largeSize ? 4 : 1)
  const marks: number[] = []
  const hashes = new Int32Array(window)
  let sum = 0
  let check = 0
  let alike = 0
  for (let i = 0; i < info.size; i++) {
    const h = words.hash(i)
    const slot = i % window
    alike = i > 0 && h === hashes[(i + window - 1) % window] ? alike + 1 : 0
    sum = (sum + h - hashes[slot]) | 0
    check = (check + checkOf(h) - checkOf(hashes[slot])) | 0
    hashes[slot] = h
    // Where all elements are the same, there is nothing to find.
    if (i + 1 < window || alike >= window - 2) continue
    const mixed = Math.imul(sum ^ (sum >>> 15), 0x2c1b3c6d)
    if ((mixed >>> 12) % every === 0) marks.push(sum >>> 0, i + 1 - window, check >>> 0)
  }
  return Uint32Array.from(marks)
}

/** Among a million windows, one in some thousands has another's hash by chance, and to read both tensors for nothing takes long. */
function checkOf(hash: number): number {
  return Math.imul(hash ^ (hash >>> 16), 0x7feb352d) ^ (hash >>> 5)
}

/** How elements come from those of another tensor: with other signs or not, and what is added to the words of all but zeros. */
interface Change {
  readonly sign: number
  readonly added: number
}

/** Bits of a mantissa that are in the 16 highest of an element. */
const mantissaBits: Partial<Record<DataType, number>> = { float16: 10, bfloat16: 7, float32: 7, float64: 4 }

/** Elements as words of at most 32 bits; those of 64 as two. */
class Words {
  private readonly view: DataView
  /** Bytes of an element. */
  private readonly width: number
  /** In the word that has them: the sign of a float, and its exponent; 0 for other types. */
  private readonly sign: number
  private readonly exponent: number
  /** Bits of this word below the 16 highest of an element. */
  private readonly below: number

  constructor({ dtype }: TensorInfo, data: Uint8Array) {
    const { bits, kind } = dataTypes[dtype]
    const width = bits / 8
    this.width = width
    // Not an array of words: data need not be aligned, and a copy of it all for a look at a few elements is garbage.
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    this.below = width > 2 ? 16 : 0
    this.sign = kind === 'float' ? 0x8000 << this.below : 0
    const mantissa = mantissaBits[dtype]
    this.exponent = mantissa ? (0x8000 - (1 << mantissa)) << this.below : 0
  }

  /** Of all but sign and exponent. */
  hash(i: number): number {
    const x = this.lower(i) ^ Math.imul(this.upper(i) & ~(this.sign | this.exponent), 0x9e3779b1)
    const h = Math.imul(x ^ (x >>> 15), 0x85ebca6b)
    return Math.imul(h ^ (h >>> 13), 0x297a2d39) ^ (h >>> 7)
  }

  /** What would make this element i of the other tensor's j; undefined where that is a zero, which tells nothing of exponents. */
  changeFrom(other: Words, j: number, i: number): Change | undefined {
    const [here, there] = [this.upper(i), other.upper(j)]
    if (this.exponent !== 0 && this.isZero(there)) return undefined
    return { sign: (here ^ there) & this.sign, added: (here & this.exponent) - (there & this.exponent) }
  }

  /** Whether the other tensor's element j, so changed, is this i. */
  isChanged(other: Words, { sign, added }: Change, j: number, i: number): boolean {
    const there = other.upper(j)
    const moved = this.isZero(there) ? there : there + added
    return this.upper(i) === (moved ^ sign) && this.lower(i) === other.lower(j)
  }

  /** What a change adds to the 16 highest bits of an element. */
  addedOf({ added }: Change): number {
    return added >> this.below
  }

  private isZero(upper: number): boolean {
    return ((upper >>> this.below) & 0x7fff) === 0
  }

  /** The word with an element's sign and exponent. */
  private upper(i: number): number {
    const { view, width } = this
    if (width === 4) return view.getInt32(4 * i, true)
    if (width === 2) return view.getUint16(2 * i, true)
    return width === 1 ? view.getUint8(i) : view.getInt32(8 * i + 4, true)
  }

  private lower(i: number): number {
    return this.width === 8 ? this.view.getUint32(8 * i, true) : 0
  }
}

/** Hashes of marked windows, and where each was first: a large model has a million, for which a Map takes 200 MB. */
class Marked {
  readonly hashes = new Distinct()
  readonly tensors = new Numbers()
  readonly places = new Numbers()
  readonly checks = new Numbers()
}

/** Looks for the runs of tensors, which must be given in order. */
export class RunFinder {
  private readonly seen = new Map<string, Marked>()
  private readonly tensors: readonly Searched[]
  private words: { readonly of: number; readonly words: Words } | undefined

  constructor(tensors: readonly Searched[]) {
    this.tensors = tensors
  }

  /** From now on runs may be taken from this tensor. */
  add(index: number): void {
    const { info, marks } = this.tensors[index]
    const seen = this.seen.get(info.dtype) ?? new Marked()
    this.seen.set(info.dtype, seen)
    for (let m = 0; m < marks.length; m += marked) {
      const { size } = seen.hashes
      if (seen.hashes.add(marks[m]) < size) continue
      seen.tensors.push(index)
      seen.places.push(marks[m + 1])
      seen.checks.push(marks[m + 2])
    }
  }

  /** The runs that a tensor shares with those added. */
  runsOf(index: number): Run[] {
    const { info, marks, read } = this.tensors[index]
    const seen = this.seen.get(info.dtype)
    const width = dataTypes[info.dtype].bits / 8
    const found: Run[] = []
    if (!seen) return found
    const window = windowOf(width)
    let words: Words | undefined
    let end = 0
    for (let m = 0; m < marks.length; m += marked) {
      const at = marks[m + 1]
      const known = at < end ? -1 : seen.hashes.find(marks[m])
      if (known < 0 || seen.checks.all[known] !== marks[m + 2]) continue
      const tensor = seen.tensors.all[known]
      const there = seen.places.all[known]
      words ??= new Words(info, read())
      const here = words
      const { size } = this.tensors[tensor].info
      const other = this.wordsAt(tensor)
      for (const step of [1, -1]) {
        let start = at
        let source = step > 0 ? there : there + window - 1
        let change: Change | undefined
        for (let k = 0; k < window && !change; k++) change = here.changeFrom(other, source + k * step, at + k)
        if (!change) continue
        const { sign } = change
        const same = (i: number): boolean => {
          const j = source + (i - start) * step
          return j >= 0 && j < size && i < info.size && here.isChanged(other, change, j, i)
        }
        let to = at
        while (same(to)) to++
        if (to < at + window) continue
        while (start > end && same(start - 1)) {
          start--
          source -= step
        }
        // On from here, and behind single elements that are not the same.
        for (;;) {
          const length = to - start
          if (length * width >= leastRun) {
            const from = step > 0 ? source : source - length + 1
            const added = here.addedOf(change)
            const distance = index - tensor
            found.push({ at: start, length, distance, from, backward: step < 0, negated: sign !== 0, added })
            end = to
          }
          let next = to + 1
          while (next <= to + mostSkipped && !(same(next) && same(next + 1) && same(next + 2))) next++
          if (next > to + mostSkipped) break
          source += (next - start) * step
          start = next
          to = start
          while (same(to)) to++
        }
        break
      }
    }
    return found
  }

  private wordsAt(tensor: number): Words {
    if (this.words?.of !== tensor) {
      const { info, read } = this.tensors[tensor]
      this.words = { of: tensor, words: new Words(info, read()) }
    }
    return this.words.words
  }
}
