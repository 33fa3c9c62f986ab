/**
 * Elements that were there before, for the coding of bytes: filter banks, Fourier bases, symmetric matrices, mirrored kernels,
 * weights of few values per row or block. An element is the next one of a run that goes on, one of those last seen, any other seen
 * before, or new. A run goes on from element to element, and for each place of a row or kernel another from one row to the next: in
 * a Fourier basis a column has what another column has, further down. Signs are apart from magnitudes, where elements are both.
 */
import { Distinct } from '../distinct.ts'
import { type ContextMixer, hash } from '../entropy/context-mixer.ts'
import { damaged, type TensorInfo, widthOf } from './coding.ts'

/** Magnitudes that are named by how lately they were seen. */
const mostRecent = 1024
/** Elements that a run may skip before it ends. */
const mostMissed = 8

/** What an element is where no run goes on: new; one of the last seen; any seen. */
export const fresh = 0
export const recent = 1
export const old = 2
/** The next of its place's run; the next of the run of elements. */
const goesOnBelow = 3
const goesOn = 4
/** A run is told apart by how long it goes on, up to so many elements. */
const longRun = 32
/** Sets of weights from here on. */
const firstSet = 257

/** What an encoder says of element i; a decoder is told. */
export interface Choices {
  /** Whether it is element j but for its sign. */
  readonly same: (i: number, j: number) => boolean
  /** Which of those it is. */
  readonly kindOf: (i: number) => number
  /** The number of its magnitude, -1 where it is new. */
  readonly numberOf: (i: number) => number
  /** Which way a run goes from it and its source: of `ways[below]`, where `last` was the last one. */
  readonly wayOf: (i: number, source: number, below: number, last: number) => number
}

/** What an encoder looks at to choose. */
export interface Seen {
  readonly out: Uint8Array
  /** Bytes of an element. */
  readonly width: number
  /** The bits of an element's first byte that are its magnitude's. */
  readonly top: number
  /** Steps that a run's source may take: from element to element, and from one row or kernel to the next, `period` elements on. */
  readonly ways: readonly (readonly number[])[]
  readonly period: number
  /** Magnitudes by first appearance, with the last element of each. */
  readonly seen: Distinct
  /** 32 bits that tell an element's magnitude from others, almost always. */
  readonly keyOf: (i: number) => number
  /** How many magnitudes were seen since the one of this number; -1 where it is not among the last. */
  readonly rankOf: (number: number) => number
}

/**
 * Codes what element i is; all before it are in `out`. Where it was there before, its bytes are there, too, afterwards. Else it is new, and
 * the element comes back that a run would have had here, -1 where none went on.
 */
export type SeenElements = (i: number, mixer: ContextMixer) => number | undefined

interface SeenOptions {
  /** Whether elements are a sign, their highest bit, and a magnitude. */
  readonly isSigned: boolean
  /** What makes an encoder's choices. */
  readonly choicesOf?: (seen: Seen) => Choices
}

/** Elements of `out`, their highest bytes first: those of the tensor, and before these others, if any, that may be repeated. */
export function seenElements(out: Uint8Array, info: TensorInfo, { isSigned, choicesOf }: SeenOptions): SeenElements {
  const { dims, size } = info
  const width = widthOf(info)
  const top = isSigned ? 0x7f : 0xff
  const row = dims.at(-1) || 1
  const taps = dims.slice(2).reduce((n, d) => n * d, 1)
  /** How many elements apart what belongs together lies: a kernel's taps, or a row. */
  const period = Math.min(size, taps > 1 ? taps : row)
  /** The steps that a run's source may take: of the run of elements, and of those of places. */
  const ways = [
    [1, -1, row, -row],
    [period, -period, 1, -1],
  ]
  const [steps, stepsBelow] = ways
  const seen = new Distinct()
  let added = 0
  /** The numbers of magnitudes by last appearance; -1 where there are no more. */
  const latest = new Int32Array(mostRecent).fill(-1)
  /** The element that this one is expected to repeat, below 0 if there is none, and the way to the one after it. */
  let next = -1
  let way = 0
  let run = 0
  let missed = 0
  /** Of each place, what its next element is expected to repeat, the way to the one after it, and how long that was right. */
  const below = new Int32Array(period).fill(-1)
  const wayBelow = new Uint8Array(period)
  const runBelow = new Int32Array(period)
  /** 1 where signs are the other way round than they were. */
  let flip = 0
  /** Of the last elements, the latest lowest, whether the sign is another than that of the element above. */
  let turns = 0
  let history = 0
  let rank = 0
  const choices = choicesOf?.({ out, width, top, ways, period, seen, keyOf, rankOf })

  return (i, mixer) => {
    while (added < i) add(added++)
    const place = i % period
    const at = hash(200, place)
    // 1. What both runs expect: nothing of its own for the place, the same, or two different elements.
    const onward = next < i ? next : -1
    const downward = below[place] < i ? below[place] : -1
    const unlike = downward < 0 ? 0 : onward >= 0 && keyOf(downward) === keyOf(onward) ? 1 : 2
    // 2. What the element repeats.
    let source = onward
    let kind = goesOn
    const near = hash(201, Math.min(run, longRun) * 16 + missed)
    const onwards = [near, hash(at, 1), hash(hash(202, history), unlike), hash(hash(near, way), unlike)]
    if (onward >= 0 && mixer.bit(choices?.same(i, onward) ? 1 : 0, onwards, 1, firstSet)) run++
    else {
      run = 0
      const downwards = [hash(213, Math.min(runBelow[place], longRun)), hash(at, 7), hash(214, history)]
      if (unlike > 1 && mixer.bit(choices?.same(i, downward) ? 1 : 0, downwards, 1, firstSet + 5)) {
        source = downward
        kind = goesOnBelow
      } else {
        const contexts = [hash(203, history), hash(at, 2), hash(hash(at, 3), history & 7)]
        kind = mixer.symbol(choices?.kindOf(i) ?? 0, 2, contexts, firstSet + 1)
        if (kind === fresh) {
          next = next < 0 || missed++ >= mostMissed ? -1 : next + steps[way]
          below[place] = downward < 0 ? -1 : downward + stepsBelow[wayBelow[place]]
          runBelow[place] = 0
          history = (history << 3) & 0xfff
          return onward < 0 ? downward : onward
        }
        source = codeSource(i, kind, mixer, at)
        if (source < 0) throw damaged('a tensor takes data from one that is not there')
        const wayTo = (below: number, last: number): number => {
          const contexts = [hash(207 + below, last), hash(at, 5 + below)]
          return mixer.symbol(choices?.wayOf(i, source, below, last) ?? 0, 2, contexts, firstSet + 3)
        }
        way = wayTo(0, way)
        wayBelow[place] = wayTo(1, wayBelow[place])
      }
    }
    // 3. The element, and its sign.
    const to = i * width
    const from = source * width
    if (!choices) out.copyWithin(to, from, from + width)
    if (isSigned) {
      const sign = out[from] >> 7
      const turned = sign ^ (i < row ? 0 : out[to - row * width] >> 7)
      const nearby = hash(hash(at, 8), flip)
      const signs = [hash(209, flip * 8 + kind), nearby, hash(210, sign * 8 + kind), hash(211 + turned, turns)]
      flip = mixer.bit((out[to] >> 7) ^ sign, signs, 1, firstSet + 4)
      out[to] = (out[to] & 0x7f) | ((sign ^ flip) << 7)
      turns = ((turns << 1) | (turned ^ flip)) & 0xfffff
    }
    // 4. Where runs go on. That of the place does where it was right, whether it was asked or not.
    const isHeld = source === downward || (kind === goesOn && unlike === 1)
    runBelow[place] = isHeld ? runBelow[place] + 1 : 0
    below[place] = (isHeld ? downward : source) + stepsBelow[wayBelow[place]]
    missed = 0
    next = source + steps[way]
    history = ((history << 3) | kind) & 0xfff
    return undefined
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
