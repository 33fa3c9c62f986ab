/** The second decoder's coding "bytes", written after that part of docs/format.md alone. It imports nothing from src. */
import { hash, Mixer, type RangeDecoder } from './spec-coder.ts'
import { PlainText } from './spec-plain.ts'

/** Of a tensor. */
interface SpecBytes {
  readonly dtype: string
  readonly dims: readonly number[]
  /** Of an element. */
  readonly bits: number
  readonly byteLength: number
  readonly parameters: readonly number[]
  /** What the group holds of the tensors before this one, in order. */
  readonly earlier?: readonly Uint8Array[]
}

/** What is known of elements; `b` are the bytes so far, of each element the highest first. */
function seenElements({ dtype, dims, bits, parameters }: SpecBytes, mixer: Mixer, coder: RangeDecoder, b: number[]) {
  const width = Math.max(1, bits / 8)
  const row = Math.max(1, dims[dims.length - 1] ?? 1)
  const taps = dims.slice(2).reduce((x, y) => x * y, 1)
  const elements = dims.reduce((x, y) => x * y, 1)
  const period = Math.min(elements, taps > 1 ? taps : row)
  const step = [1, -1, row, -row]
  const down = [period, -period, 1, -1]
  const isSigned = parameters[0] % 8 === 2 || ['float16', 'bfloat16', 'float32', 'float64'].includes(dtype)
  /** Numbers of keys, and the last element of each number. */
  const numbers = new Map<number, number>()
  const lastOf: number[] = []
  const recent: number[] = []
  /** Of each place: what its next element is expected to be, its way, and how often that was right. */
  const places = new Map<number, { below: number; way: number; run: number }>()
  let [next, way, run, missed, flip, turns, history, rank] = [-1, 0, 0, 0, 0, 0, 0, 0]

  const keyOf = (i: number): number => {
    let key = b[i * width] & (isSigned ? 127 : 255)
    for (const byte of b.slice(i * width + 1, (i + 1) * width)) key = Math.imul(key, 0x9e3779b1) ^ byte
    return key
  }
  const missing = (): never => {
    throw new Error('an element that is not there')
  }
  return {
    add(i: number): void {
      const key = keyOf(i)
      const number = numbers.get(key) ?? numbers.size
      numbers.set(key, number)
      lastOf[number] = i
      const at = recent.indexOf(number)
      if (at >= 0) recent.splice(at, 1)
      recent.unshift(number)
      recent.length = Math.min(recent.length, 1024)
    },
    /** The bytes of element i if it was there before, else the element that a run would have here; -1 if none goes on. */
    element(i: number): number[] | number {
      const place = i % period
      const at = hash(200, place)
      const here = places.get(place) ?? { below: -1, way: 0, run: 0 }
      places.set(place, here)
      // 1
      const onward = next < i ? next : -1
      const downward = here.below < i ? here.below : -1
      const unlike = downward < 0 ? 0 : onward >= 0 && keyOf(onward) === keyOf(downward) ? 1 : 2
      let source = -1
      let kind = 0
      const goesOn = (): boolean => {
        const near = hash(201, 16 * Math.min(run, 32) + missed)
        const contexts = [near, hash(at, 1), hash(hash(202, history), unlike), hash(hash(near, way), unlike)]
        return mixer.bit(0, contexts, 1, 257) === 1
      }
      const goesDown = (): boolean => {
        const contexts = [hash(213, Math.min(here.run, 32)), hash(at, 7), hash(214, history)]
        return mixer.bit(0, contexts, 1, 262) === 1
      }
      if (onward >= 0 && goesOn()) {
        // 2
        source = onward
        kind = 4
        run++
      } else {
        run = 0
        if (unlike === 2 && goesDown()) {
          // 3
          source = downward
          kind = 3
        } else {
          // 4
          kind = mixer.symbol(0, 2, [hash(203, history), hash(at, 2), hash(hash(at, 3), history & 7)], 258)
          if (kind === 0) {
            if (next >= 0) next = ++missed > 8 ? -1 : next + step[way]
            here.below = downward < 0 ? -1 : downward + down[here.way]
            here.run = 0
            history = (8 * history) & 4095
            return onward >= 0 ? onward : downward
          }
          if (kind === 1) {
            rank = mixer.number(0, [204, hash(at, 4), hash(205, rank), hash(206, history & 63)], 259)
            source = lastOf[recent[rank]] ?? missing()
          } else {
            let number = 0
            for (let n = Math.ceil(Math.log2(Math.max(1, lastOf.length))); n > 0; n--)
              number = 2 * number + coder.bit(32768)
            source = lastOf[number] ?? missing()
          }
          // 5
          way = mixer.symbol(0, 2, [hash(207, way), hash(at, 5)], 260)
          here.way = mixer.symbol(0, 2, [hash(208, here.way), hash(at, 6)], 260)
        }
      }
      // 6
      const out = b.slice(source * width, (source + 1) * width)
      if (isSigned) {
        const sign = out[0] >> 7
        const above = i < row ? 0 : b[(i - row) * width] >> 7
        const turned = sign === above ? 0 : 1
        const contexts = [hash(209, 8 * flip + kind), hash(hash(at, 8), flip), hash(210, 8 * sign + kind)]
        flip = mixer.bit(0, [...contexts, hash(211 + turned, turns)], 1, 261)
        turns = (2 * turns + (flip === turned ? 0 : 1)) % 2 ** 20
        out[0] ^= 128 * flip
      }
      const isRight = source === downward || (kind === 4 && unlike === 1)
      here.run = isRight ? here.run + 1 : 0
      here.below = (isRight ? downward : source) + down[here.way]
      missed = 0
      next = source + step[way]
      history = (8 * history + kind) & 4095
      return out
    },
  }
}

/** The data of a tensor of this coding, or a plain text of form 3. */
export function decodeBytes(tensor: SpecBytes, coder: RangeDecoder, isText = false): Uint8Array {
  const { bits, dims, byteLength, parameters, earlier = [] } = tensor
  if (parameters[0] >= 3 && parameters[0] < 7) {
    const size = byteLength / (bits / 8)
    const low = new PlainText().decode([3, 1, 2, 4][parameters[0] - 3], size, coder)
    if (tensor.dtype === 'float32') return new Uint8Array(Float32Array.from(low).buffer)
    return Uint8Array.from({ length: byteLength }, (_, i) => (i % (bits / 8) === 0 ? low[i / (bits / 8)] : 0))
  }
  const width = Math.max(1, bits / 8)
  const row = Math.max(1, (dims[dims.length - 1] ?? 1) * width)
  const lengthBits = byteLength === 0 ? 0 : byteLength.toString(2).length
  const mixer = new Mixer(coder, { slots: 2 ** Math.min(20, Math.max(10, 4 + lengthBits)), limit: 127, ofNodes: true })
  const kind = parameters[0] % 8
  const b = parameters[0] < 8 ? [] : elementsOf(earlier[earlier.length - Math.floor(parameters[0] / 8)], width, kind)
  const start = b.length
  const seen = kind === 1 || kind === 2 ? seenElements(tensor, mixer, coder, b) : undefined
  for (let i = 0; i < start / width - 1; i++) seen?.add(i)
  const positions = new Int32Array(2 ** Math.min(16, lengthBits))
  const after = new Map<number, number>()
  let match = 0
  let matched = 0
  let [word, letters, since, sign, field] = [0, 0, 0, 0, 0]
  for (let i = start; i < start + byteLength; i++) {
    const column = i % width
    if (seen && column === 0) {
      if (i > 0) seen.add(i / width - 1)
      const element = seen.element(i / width)
      if (typeof element === 'object') {
        b.push(...element)
        i += width - 1
        continue
      }
      match = Math.max(0, element * width)
      matched = element < 0 ? 0 : 1
    }
    const at = (d: number): number => (i >= d ? b[i - d] : 0)
    const [h1, h2, h3, h4] = [at(1), at(2), at(3), at(4)]
    const expected = match > 0 ? b[match] : 0
    const near = hash(column, Math.min(matched, 32))
    const long = [near, hash(near, expected), hash(11, expected | (h1 << 8))]
    const isExpected = matched >= 16 && mixer.bit(0, long, 1, 256) === 1
    const four = h1 | (h2 << 8) | (h3 << 16) | (h4 << 24)
    const contexts = [
      hash(column, h1),
      hash(16 + column, h1 | (h2 << 8)),
      hash(32 + column, h1 | (h2 << 8) | (h3 << 16)),
      hash(48 + column, isText ? 0 : four),
      hash(64 + column, isText ? hash(four, at(5)) : width > 1 ? at(width) | (at(2 * width) << 8) : h2 | (h3 << 8)),
      hash(80 + column, isText ? word : width > 1 ? at(width) | (h1 << 8) : h3 | (h4 << 8)),
      hash(96 + column, isText ? hash(Math.min(since, 255), sign) : at(row) | (h1 << 8)),
      hash(112 + column, isText ? hash(hash(field, since), h1) : at(row) | (at(width) << 8) | (at(row + width) << 16)),
      hash(128 + column, match > 0 ? expected | (Math.min(matched, 15) << 8) : -1),
      hash(144 + column, isText ? letters : (after.get(256 * column + h1) ?? 0)),
    ]
    b.push(isExpected ? expected : mixer.symbol(0, 8, contexts, 16 * column + Math.min(matched, 15)))
    after.set(256 * column + h1, b[i])
    const isLetter = /[a-zA-Z\x80-\xff]/.test(String.fromCharCode(b[i]))
    const isDigit = /[0-9]/.test(String.fromCharCode(b[i]))
    word = isLetter ? hash(word, b[i]) : isDigit ? hash(word, 48) : 0
    letters = isLetter ? hash(letters, b[i] & 0xdf) : 0
    since++
    if (!isLetter && !isDigit && b[i] !== 45 && b[i] !== 46) {
      field = b[i] === 10 ? 0 : field + 1
      since = 0
      sign = b[i]
    }
    matched = match > 0 && b[i] === expected ? matched + 1 : kind === 7 ? 0 : matched >> 2
    if (match > 0) match++
    if (i < 5 || seen) continue
    let hashed = hash(b[i] | (h1 << 8) | (h2 << 16) | (h3 << 24), h4)
    if (kind === 7) for (let d = 5; d < 16 * width; d++) hashed = hash(hashed, at(d))
    const key = hashed & (positions.length - 1)
    if (matched === 0) {
      const found = positions[key]
      while (matched < 32 && matched < found && b[found - 1 - matched] === b[i - matched]) matched++
      if (matched < 5) matched = 0
      else match = found
    }
    positions[key] = i + 1
  }
  const own = b.slice(start)
  if (kind === 2) turnNegatives(own, width)
  return Uint8Array.from(own, (_, i) => own[i - (i % width) + width - 1 - (i % width)])
}

/** Of elements as a sign, their highest bit, and a magnitude, the numbers, and the other way round; the sign alone is the lowest. */
function turnNegatives(b: number[], width: number): void {
  for (let i = 0; i < b.length; i += width) {
    if (b[i] < 128) continue
    const signed = b.slice(i, i + width).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)
    const lowest = 2n ** BigInt(8 * width - 1)
    const negative = signed === lowest ? lowest : 3n * lowest - signed
    for (let d = 0; d < width; d++) b[i + d] = Number((negative >> BigInt(8 * (width - 1 - d))) % 256n)
  }
}

/** The bytes of another tensor as those of elements of this width, the highest first. */
function elementsOf(data: Uint8Array, width: number, kind: number): number[] {
  const b = Array.from(data, (_, i) => data[i - (i % width) + width - 1 - (i % width)])
  if (kind === 2) turnNegatives(b, width)
  return b
}
