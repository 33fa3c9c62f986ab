/**
 * Finds runs of elements that a tensor shares with earlier ones. Windows of a few elements are marked where a hash of them says so,
 * alike in all tensors; the hash knows neither order nor signs, so that runs backwards and negated are found too.
 */
import { dataTypes } from '../tensor/dtype.ts'
import type { TensorInfo } from './coding/coding.ts'
import type { Run } from './coding/runs.ts'
import { Distinct } from './distinct.ts'
import { Numbers } from './memory.ts'

/** A tensor, or a part of one. */
export interface Searched {
  readonly info: TensorInfo
  readonly read: () => Uint8Array
  /** Hashes of marked windows and where they begin, in turn. */
  readonly marks: Uint32Array
}

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
  const words = wordsOf(info, data)
  const every = oneIn * (info.size > largeSize ? 4 : 1)
  const marks: number[] = []
  const hashes = new Int32Array(window)
  let sum = 0
  let alike = 0
  for (let i = 0; i < info.size; i++) {
    const h = words.hash(i)
    const slot = i % window
    alike = i > 0 && h === hashes[(i + window - 1) % window] ? alike + 1 : 0
    sum = (sum + h - hashes[slot]) | 0
    hashes[slot] = h
    // Where all elements are the same, there is nothing to find.
    if (i + 1 < window || alike >= window - 2) continue
    const mixed = Math.imul(sum ^ (sum >>> 15), 0x2c1b3c6d)
    if ((mixed >>> 12) % every === 0) marks.push(sum >>> 0, i + 1 - window)
  }
  return Uint32Array.from(marks)
}

/** Elements as 32-bit words. */
function wordsOf({ dtype }: TensorInfo, data: Uint8Array) {
  const { bits, kind } = dataTypes[dtype]
  const width = bits / 8
  const signed = kind === 'float'
  const { buffer, byteOffset, byteLength } = data.byteOffset % Math.min(width, 4) === 0 ? data : new Uint8Array(data)
  const array =
    width === 1
      ? new Uint8Array(buffer, byteOffset, byteLength)
      : width === 2
        ? new Uint16Array(buffer, byteOffset, byteLength / 2)
        : new Uint32Array(buffer, byteOffset, byteLength / 4)
  const sign = signed ? (width === 2 ? 0x8000 : 0x80000000 | 0) : 0
  return {
    sign,
    /** Of the magnitude. */
    hash(i: number): number {
      const x = width === 8 ? array[2 * i] ^ Math.imul(array[2 * i + 1] & ~sign, 0x9e3779b1) : array[i] & ~sign
      const h = Math.imul(x ^ (x >>> 15), 0x85ebca6b)
      return Math.imul(h ^ (h >>> 13), 0x297a2d39) ^ (h >>> 7)
    },
    /** What is other in element i than in one of the other tensor: 0, or `sign` where that alone is. */
    against: (other: { readonly array: typeof array }) => (i: number, j: number) => {
      if (width !== 8) return (array[i] ^ other.array[j]) | 0
      return array[2 * i] === other.array[2 * j] ? (array[2 * i + 1] ^ other.array[2 * j + 1]) | 0 : 1
    },
    array,
  }
}

/** Hashes of marked windows, and where each was first: a large model has a million, for which a Map takes 200 MB. */
class Marked {
  readonly hashes = new Distinct()
  readonly tensors = new Numbers()
  readonly places = new Numbers()
}

/** Looks for the runs of tensors, which must be given in order. */
export class RunFinder {
  private readonly seen = new Map<string, Marked>()
  private readonly tensors: readonly Searched[]
  private words: { readonly of: number; readonly words: ReturnType<typeof wordsOf> } | undefined

  constructor(tensors: readonly Searched[]) {
    this.tensors = tensors
  }

  /** From now on runs may be taken from this tensor. */
  add(index: number): void {
    const { info, marks } = this.tensors[index]
    const seen = this.seen.get(info.dtype) ?? new Marked()
    this.seen.set(info.dtype, seen)
    for (let m = 0; m < marks.length; m += 2) {
      const { size } = seen.hashes
      if (seen.hashes.add(marks[m]) < size) continue
      seen.tensors.push(index)
      seen.places.push(marks[m + 1])
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
    let words: ReturnType<typeof wordsOf> | undefined
    let end = 0
    for (let m = 0; m < marks.length; m += 2) {
      const at = marks[m + 1]
      const known = at < end ? -1 : seen.hashes.find(marks[m])
      if (known < 0) continue
      const tensor = seen.tensors.all[known]
      const there = seen.places.all[known]
      words ??= wordsOf(info, read())
      const { sign } = words
      const { size } = this.tensors[tensor].info
      const differ = words.against(this.wordsAt(tensor))
      for (const step of [1, -1]) {
        let start = at
        let source = step > 0 ? there : there + window - 1
        const first = differ(start, source)
        if (first !== 0 && first !== sign) continue
        const same = (i: number): boolean => {
          const j = source + (i - start) * step
          return j >= 0 && j < size && i < info.size && differ(i, j) === first
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
            found.push({ at: start, length, distance: index - tensor, from, backward: step < 0, negated: first !== 0 })
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

  private wordsAt(tensor: number): ReturnType<typeof wordsOf> {
    if (this.words?.of !== tensor) {
      const { info, read } = this.tensors[tensor]
      this.words = { of: tensor, words: wordsOf(info, read()) }
    }
    return this.words.words
  }
}
