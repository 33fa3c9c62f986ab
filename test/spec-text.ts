/** The second decoder's names and text, written after those sections of docs/format.md alone. It imports nothing from src. */
import { hash, type Mixer, type RangeDecoder } from './spec-coder.ts'
import { PlainText } from './spec-plain.ts'

interface Entry {
  readonly bytes: Uint8Array
  roles: number
  next?: Entry
}

export class Names {
  private readonly mixer: Mixer
  private readonly lastHow = new Map<number, number>()
  private readonly previous = new Map<number, Uint8Array>()
  private history: number[] = []
  private readonly positions = new Int32Array(65536)
  private readonly farPositions = new Int32Array(65536)
  private readonly starts = new Map<number, number>()
  private previousStart = 0
  private readonly plain = new PlainText()
  private ordered: Entry[] = []
  private recent: Entry[] = []
  private cursor = [0, 0, 0, 0, 0]
  private last: Entry | undefined
  constructor(mixer: Mixer) {
    this.mixer = mixer
  }
  forget(): void {
    this.ordered = []
    this.recent = []
    this.cursor = [0, 0, 0, 0, 0]
    this.last = undefined
  }
  private nextInOrder(role: number): number {
    return this.ordered.findIndex(({ roles }, i) => {
      if (i < this.cursor[role] || roles & (1 << role)) return false
      return role === 3 ? !(roles & 4) : role === 4 ? (roles & 4) !== 0 : role === 2 && roles === 2
    })
  }
  name(wanted: Uint8Array | undefined, place: number, role: number): Uint8Array {
    const at = this.nextInOrder(role)
    const ordering = this.ordered[at]
    const follower = this.last?.next
    const before = this.lastHow.get(place) ?? 0
    const any = this.lastHow.get(-1) ?? 0
    const can = (ordering ? 1 : 0) + (follower ? 2 : 0) + (follower && follower === ordering ? 4 : 0)
    const contexts = [hash(place, can), hash(place, before * 8 + can), hash(role * 8 + can, any), hash(place, any)]
    const known = wanted && this.ordered.find((e) => same(e.bytes, wanted))
    const choice = !wanted || !known ? 0 : known === ordering ? 1 : known === follower ? 2 : 3
    const how = this.mixer.symbol(choice, 2, contexts, 448)
    this.lastHow.set(place, (before * 4 + how) & 63)
    this.lastHow.set(-1, (any * 4 + how) & 255)
    let entry: Entry | undefined
    if (how === 0) {
      const bytes = this.text(wanted, place, true)
      entry = this.ordered.find((e) => same(e.bytes, bytes))
      if (!entry) this.ordered.push((entry = { bytes, roles: 0 }))
    } else if (how === 1) {
      entry = ordering
      this.cursor[role] = at + 1
    } else if (how === 2) entry = follower
    else {
      const rank = known ? this.recent.length - 1 - this.recent.lastIndexOf(known) : 0
      entry =
        this.recent[this.recent.length - 1 - this.mixer.number(rank, [place, hash(role, before), hash(role, 77)], 449)]
    }
    if (!entry) throw new Error('a name that is not there')
    const found = entry
    entry.roles |= 1 << role
    this.recent = [...this.recent.filter((e) => e !== found), found]
    if (this.last) this.last.next = entry
    this.last = entry
    return entry.bytes
  }
  bytes(wanted: Uint8Array | undefined, place: number, repeats: boolean): Uint8Array {
    const before = repeats ? this.previous.get(place) : undefined
    if (before && this.mixer.bit(wanted && same(wanted, before) ? 1 : 0, [place, hash(place, 3)], 5, 448)) return before
    const out = this.text(wanted, place, false)
    if (repeats) this.previous.set(place, out)
    return out
  }
  private text(wanted: Uint8Array | undefined, place: number, isName: boolean): Uint8Array {
    const h = this.history
    const start = h.length
    const symbols = wanted && [...wanted].flatMap((b) => (b < 2 ? [1, b] : [b]))
    const lastStart = this.starts.get(place) ?? 0
    let alongPlace = lastStart
    let alongPrevious = isName ? this.previousStart : lastStart
    this.previousStart = start
    this.starts.set(place, start)
    let match = 0
    let matched = 0
    let whole = place
    let word = 0
    const note = (symbol: number): void => {
      h.push(symbol)
      whole = hash(whole, symbol)
      word = /[a-zA-Z]/.test(String.fromCharCode(symbol)) ? hash(word, symbol) : 0
      if (match > 0 && h[match] === symbol) {
        match++
        matched++
      } else match = matched = 0
      const n = h.length
      const few = n - start
      const key =
        few >= 3
          ? hash(h[n - 1] | (h[n - 2] << 8) | (h[n - 3] << 16), 11)
          : hash(place, few === 1 ? h[n - 1] : h[n - 1] | (h[n - 2] << 8))
      if (few >= 8) {
        const [low, high] = [1, 5].map(
          (d) => h[n - d] | (h[n - d - 1] << 8) | (h[n - d - 2] << 16) | (h[n - d - 3] << 24),
        )
        const far = hash(low, high) & 0xffff
        if (match === 0) match = this.farPositions[far]
        this.farPositions[far] = n
      }
      if (match === 0) match = this.positions[key & 0xffff]
      this.positions[key & 0xffff] = n
      if (match > 0 && matched === 0)
        while (matched < 32 && matched < match && h[match - 1 - matched] === h[n - 1 - matched]) matched++
    }
    const out: number[] = []
    for (let escaped = false, i = 0; ; i++) {
      const at = h.length
      const [c1, c2, c3, c4] = [1, 2, 3, 4].map((d) => (at - d >= start ? h[at - d] : 0))
      const alike = alongPlace === lastStart + (at - start) ? 1 : 0
      const other = h[alongPlace || alongPrevious] ?? 0
      const expected = match > 0 ? h[match] : 0
      const length = match > 0 ? Math.min(matched, 15) : 0
      const contexts = [
        hash(1, place),
        hash(2, c1 | (place << 8)),
        hash(3, c1 | (c2 << 8)),
        hash(4, c1 | (c2 << 8) | (c3 << 16)),
        hash(5, c1 | (c2 << 8) | (c3 << 16) | (c4 << 24)),
        hash(6, expected | (length << 8)),
        hash(7, whole),
        hash(8, other | (c1 << 8) | (alike << 16)),
        hash(9, word),
      ]
      const set = 512 + 4 * length + (at === start ? 0 : alike ? 1 : 2)
      const symbol = symbols?.[i] ?? 0
      const near = hash(10, Math.min(matched, 32))
      const long = [near, hash(11, expected | (c1 << 8)), hash(near, expected), hash(12, whole), hash(13, word)]
      const isExpected = matched >= 16 && this.mixer.bit(symbol === expected ? 1 : 0, long, 1, 450) === 1
      const byte = isExpected ? expected : this.mixer.symbol(symbol, 8, contexts, set)
      if (alongPlace > 0 && h[alongPlace] !== 0) alongPlace++
      if (alongPrevious > 0 && h[alongPrevious] !== 0) alongPrevious++
      note(byte)
      if (!escaped && byte === 0) return Uint8Array.from(out)
      if (escaped && byte === 2 && i === 1) {
        const n = this.mixer.number(0, [place], 451)
        const form = this.mixer.symbol(0, 3, [place], 452)
        // The coder decodes, since the primer has none.
        const bytes = this.plain.decode(form, n, this.mixer.coder as RangeDecoder)
        for (const b of bytes) {
          if (b < 2) note(1)
          note(b)
        }
        h.push(0)
        return Uint8Array.from(bytes)
      }
      if (!escaped && byte === 1) escaped = true
      else {
        escaped = false
        out.push(byte)
      }
    }
  }
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((v, i) => v === b[i])
}
