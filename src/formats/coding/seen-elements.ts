/**
 * Elements that were there before, for the coding of bytes: filter banks, Fourier bases, symmetric matrices, mirrored kernels,
 * weights of few values per row or block. An element is the next one of a run that goes on (forward, backward, down a column or
 * up), one of those last seen, any other seen before, or new. Signs are apart from magnitudes, where elements are both.
 */
import { dataTypes } from '../../tensor/dtype.ts'
import { Distinct } from '../distinct.ts'
import { type ContextMixer, hash } from '../entropy/context-mixer.ts'
import { damaged, type TensorInfo } from './coding.ts'

/** Magnitudes that are named by how lately they were seen. */
const mostRecent = 1024
/** Elements that a run may skip before it ends. */
const mostMissed = 8

/** What an element is: new; one of the last seen; any seen; the one as far from where the last run went as the last time here. */
export const fresh = 0
export const recent = 1
export const old = 2
export const jump = 3
/** The next of a run that goes on; it is no choice of the four. */
const goesOn = 4
/** Sets of weights from here on. */
const firstSet = 257

/** What an encoder says of element i; a decoder is told. */
export interface Choices {
  /** Whether it is element j but for its sign. */
  readonly same: (i: number, j: number) => boolean
  /** Which of the four choices it is, `jumped` being the element of the last of them. */
  readonly kindOf: (i: number, jumped: number) => number
  /** The number of its magnitude, -1 where it is new. */
  readonly numberOf: (i: number) => number
  /** Which way a run goes from it and its source. */
  readonly wayOf: (i: number, source: number, way: number) => number
}

/** What an encoder looks at to choose. */
export interface Seen {
  readonly out: Uint8Array
  /** Bytes of an element. */
  readonly width: number
  /** The bits of an element's first byte that are its magnitude's. */
  readonly top: number
  /** The way from an element of a run to the next, by number. */
  readonly steps: readonly number[]
  /** Magnitudes by first appearance, with the last element of each. */
  readonly seen: Distinct
  /** 32 bits that tell an element's magnitude from others, almost always. */
  readonly keyOf: (i: number) => number
  /** How many magnitudes were seen since the one of this number; -1 where it is not among the last. */
  readonly rankOf: (number: number) => number
}

export interface SeenElements {
  /**
   * Codes what element i is. Where it was there before, its bytes are in `out` then; else it is new, and the element comes back that a
   * run would have had here, -1 where none went on.
   */
  readonly code: (i: number, mixer: ContextMixer) => number | undefined
  /** Notes element i, whose bytes are in `out`. */
  readonly add: (i: number) => void
}

interface SeenOptions {
  /** Whether elements are a sign, their highest bit, and a magnitude. */
  readonly isSigned: boolean
  /** What makes an encoder's choices. */
  readonly choicesOf?: (seen: Seen) => Choices
}

/** Elements of `out`, their highest bytes first. */
export function seenElements(
  out: Uint8Array,
  { dims, dtype }: TensorInfo,
  { isSigned, choicesOf }: SeenOptions,
): SeenElements {
  const width = dataTypes[dtype].bits >> 3
  const top = isSigned ? 0x7f : 0xff
  const row = Math.max(1, dims[dims.length - 1] ?? 1)
  const steps = [1, -1, row, -row]
  const taps = dims.slice(2).reduce((n, d) => n * d, 1)
  /** How many elements apart what belongs together lies: a kernel's taps, or a row. */
  const period = taps > 1 ? taps : row
  const seen = new Distinct()
  /** The numbers of magnitudes by last appearance; -1 where there are no more. */
  const latest = new Int32Array(mostRecent).fill(-1)
  /** The element that this one is expected to repeat, below 0 if there is none, and the way to the one after it. */
  let next = -1
  let way = 0
  let run = 0
  let missed = 0
  /** 1 where signs are the other way round than they were. */
  let flip = 0
  /** Of the last elements, the latest lowest, whether the sign is another than that of the element above. */
  let turns = 0
  let history = 0
  let rank = 0
  const jumps = new Map<number, number>()
  const choices = choicesOf?.({ out, width, top, steps, seen, keyOf, rankOf })
  return { code, add }

  function code(i: number, mixer: ContextMixer): number | undefined {
    const place = i % period
    const at = hash(200, place)
    let source = next
    let kind = goesOn
    if (codeGoesOn(i, mixer, at)) run++
    else {
      run = 0
      const jumped = next < 0 ? -1 : next + (jumps.get(place) ?? 0)
      const contexts = [hash(203, history), hash(at, 2), hash(hash(at, 3), history & 7)]
      kind = mixer.symbol(choices?.kindOf(i, jumped) ?? 0, 2, contexts, firstSet + 1)
      if (kind === fresh) {
        next = next < 0 || missed++ >= mostMissed ? -1 : next + steps[way]
        history = (history << 3) & 0xfff
        return source < i ? source : -1
      }
      source = kind === jump ? jumped : codeSource(i, kind, mixer, at)
      if (!(source >= 0 && source < i)) throw damaged('an element repeats one that is not there')
      if (next >= 0) jumps.set(place, source - next)
      const ways = [hash(207, way), hash(at, 5), hash(208, kind)]
      way = mixer.symbol(choices?.wayOf(i, source, way) ?? 0, 2, ways, firstSet + 3)
    }
    const to = i * width
    const from = source * width
    if (!choices) out.copyWithin(to, from, from + width)
    if (isSigned) {
      const sign = out[from] >> 7
      const turned = sign ^ (i < row ? 0 : out[to - row * width] >> 7)
      const near = hash(hash(at, 6), flip)
      const signs = [hash(209, flip * 8 + kind), near, hash(210, sign * 8 + kind), hash(211 + turned, turns)]
      flip = mixer.bit((out[to] >> 7) ^ sign, signs, 1, firstSet + 4)
      out[to] = (out[to] & 0x7f) | ((sign ^ flip) << 7)
      turns = ((turns << 1) | (turned ^ flip)) & 0xfffff
    }
    missed = 0
    next = source + steps[way]
    history = ((history << 3) | kind) & 0xfff
    return undefined
  }

  function codeGoesOn(i: number, mixer: ContextMixer, at: number): boolean {
    if (next < 0 || next >= i) return false
    const near = hash(201, Math.min(run, 32) * 16 + missed)
    const contexts = [near, hash(at, 1), hash(202, history), hash(near, way)]
    return mixer.bit(choices?.same(i, next) ? 1 : 0, contexts, 1, firstSet) === 1
  }

  /** The element that one of the last seen, or any, is like; below 0 where there is none. */
  function codeSource(i: number, kind: number, mixer: ContextMixer, at: number): number {
    let number = choices?.numberOf(i) ?? 0
    if (kind === recent) {
      const contexts = [204, hash(at, 4), hash(205, rank), hash(206, history & 63)]
      rank = mixer.number(rankOf(number), contexts, firstSet + 2)
      number = latest[rank]
    } else number = mixer.raw(number, bitsOf(seen.size))
    return number >= 0 && number < seen.size ? seen.notes[number] : -1
  }

  function add(i: number): void {
    const { size } = seen
    const number = seen.add(keyOf(i))
    seen.notes[number] = i
    const at = number === size ? -1 : rankOf(number)
    latest.copyWithin(1, 0, at < 0 ? mostRecent - 1 : at)
    latest[0] = number
  }

  function rankOf(number: number): number {
    return latest.indexOf(number)
  }

  function keyOf(i: number): number {
    let key = out[i * width] & top
    for (let b = 1; b < width; b++) key = Math.imul(key, 0x9e3779b1) ^ out[i * width + b]
    return key >>> 0
  }
}

/** Bits that name one of so many, of which there is one at least. */
export function bitsOf(count: number): number {
  return 32 - Math.clz32(count - 1)
}
