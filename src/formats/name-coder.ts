/**
 * Text of a graph in the head stream: operator and attribute names, value names, documentation.
 *
 * A value's name is mostly one seen before: the one that followed its predecessor the last time, the next one of its
 * role in the order of first mention, or a recent one (move-to-front). A new one is text, byte by byte, with the contexts
 * of PAQ's text models: the last bytes, the string so far, what stood in the strings before, the longest match.
 */
import { damaged } from './coding/coding.ts'
import { type ContextMixer, hash } from './entropy/context-mixer.ts'
import { grown } from './memory.ts'
import { codePlain, type PlainMemory, plainMemory } from './plain-text.ts'

/** Mixing weights 448 up are this file's. */
const sets = { how: 448, rank: 449, long: 450, plain: 451, text: 512 } as const

export interface NameTable {
  /** A value's name. `role`: 1 node input, 2 node output, 3 tensor, 4 value info. */
  name(bytes: Uint8Array | undefined, place: number, role: number): Uint8Array
  /** Any other bytes; `repeats` where the same text may come back in the same place. */
  bytes(bytes: Uint8Array | undefined, place: number, repeats: boolean): Uint8Array
}

interface Entry {
  readonly key: string
  readonly bytes: Uint8Array
  /** A bit for each role it had. */
  roles: number
  /** The entry that came after it the last time. */
  next?: Entry
}

/** What is told of the work done, so that damaged input can be stopped. */
export interface Counters {
  /** Of items, which take memory. */
  readonly count: (items: number) => void
  /** Of what takes time alone, in items. */
  readonly check: (items: number) => void
}

/** Equal bytes before from which on a whole byte is one decision. */
const longMatch = 16
/** Equal bytes before that are looked at. */
const mostMatched = 32
/** Bytes of the longer hashes. */
const farLength = 8

/** What a text counts as, beside its symbols. */
const textItems = 4

/** Names that may be passed over at the cost of one item of the graph, so that a hostile file cannot search for ever. */
const longSearch = 1 << 14

const how = { isNew: 0, inOrder: 1, follower: 2, recent: 3 } as const

/** The form in which plain text is coded (plain-text.ts), undefined for all other text; of encoders. */
export type PlanText = (bytes: Uint8Array, coded: TextSoFar) => number | undefined

/** Where a text is to be coded. */
export interface TextSoFar {
  readonly mixer: ContextMixer
  readonly memory: TextMemory
  readonly place: number
  readonly isName: boolean
}

/** What text has been coded. */
export interface TextMemory {
  /** All strings, each with its 0. */
  history: Uint8Array
  used: number
  /** The last position after each hash of the bytes before. */
  readonly positions: Int32Array
  /** The same after hashes of more bytes. */
  readonly farPositions: Int32Array
  /** Start of the last string in each place. */
  readonly starts: Map<number, number>
  previousStart: number
  readonly plain: PlainMemory
}

/** What is learnt besides probabilities, and stays when names are forgotten. */
export interface NameMemory {
  readonly text: TextMemory
  /** How names in each place were last found. */
  readonly lastHow: Map<number, number>
  /** The last text in each place. */
  readonly previous: Map<number, Uint8Array>
}

export function nameMemory(): NameMemory {
  return {
    text: {
      history: new Uint8Array(1 << 12),
      used: 0,
      positions: new Int32Array(1 << 16),
      farPositions: new Int32Array(1 << 16),
      starts: new Map(),
      previousStart: 0,
      plain: plainMemory(),
    },
    lastHow: new Map(),
    previous: new Map(),
  }
}

export function nameTable(mixer: ContextMixer, counters: Counters, memory: NameMemory, planText?: PlanText): NameTable {
  const { check } = counters
  const text = textCoder(mixer, counters, memory.text, planText)
  const { lastHow, previous } = memory
  const entries = new Map<string, Entry>()
  const ordered: Entry[] = []
  const recent: Entry[] = []
  /** Where in the order of first mention each role has got to. */
  const cursor = [0, 0, 0, 0, 0]
  let last: Entry | undefined

  /** The next name of the order that fits a role: a tensor is no node's output, a value info is one; none is a node's input. */
  const inOrder = (role: number): number => {
    if (role === 1) return -1
    let i = cursor[role]
    for (; i < ordered.length; i++) {
      const { roles } = ordered[i]
      if (roles & (1 << role)) continue
      if (role === 3 ? !(roles & 4) : role === 4 ? roles & 4 : roles === 2) break
    }
    check((i - cursor[role]) / longSearch)
    return i < ordered.length ? i : -1
  }

  const name: NameTable['name'] = (bytes, place, role) => {
    // 1. The two names that are likely: the next of the order (nodes come in the order in which their results are listed) and
    //    the one that followed the name before the last time (the same inputs are read together again).
    const key = bytes && keyOf(bytes)
    const known = key === undefined ? undefined : entries.get(key)
    const orderAt = inOrder(role)
    const ordering = orderAt >= 0 ? ordered[orderAt] : undefined
    const follower = last?.next
    // 2. How the name is found. What can be, and how names were found here and anywhere before, say what to expect.
    const before = lastHow.get(place) ?? 0
    const lastAny = lastHow.get(-1) ?? 0
    const can = (ordering ? 1 : 0) | (follower ? 2 : 0) | (follower && follower === ordering ? 4 : 0)
    const contexts = [
      hash(place, can),
      hash(place, before * 8 + can),
      hash(role * 8 + can, lastAny),
      hash(place, lastAny),
    ]
    let choice = 0
    if (key !== undefined) {
      choice = !known ? how.isNew : known === ordering ? how.inOrder : known === follower ? how.follower : how.recent
    }
    choice = mixer.symbol(choice, 2, contexts, sets.how)
    lastHow.set(place, (before * 4 + choice) & 63)
    lastHow.set(-1, (lastAny * 4 + choice) & 255)
    // 3. The name itself, where the choice alone does not say it: a new one is text, a recent one how long ago it was.
    let entry: Entry | undefined
    if (choice === how.isNew) {
      const fresh = text(bytes, place, true)
      const freshKey = keyOf(fresh)
      entry = entries.get(freshKey)
      if (!entry) {
        entry = { key: freshKey, bytes: fresh, roles: 0 }
        entries.set(freshKey, entry)
        ordered.push(entry)
      }
    } else if (choice === how.inOrder) entry = ordering
    else if (choice === how.follower) entry = follower
    else {
      const rank = known ? recent.length - 1 - recent.lastIndexOf(known) : 0
      const at = mixer.number(rank, [place, hash(role, before), hash(role, 77)], sets.rank)
      entry = recent[recent.length - 1 - at]
      check(at / longSearch)
    }
    if (!entry) throw damaged('a name refers to one that is not there')
    // 4. What is known for the next name. The role is marked, so that the order passes over this name from now on.
    if (choice === how.inOrder) cursor[role] = orderAt + 1
    // A new one is not looked for: in a graph of many names that took longer than all else.
    if (entry.roles !== 0) recent.splice(recent.lastIndexOf(entry), 1)
    entry.roles |= 1 << role
    recent.push(entry)
    if (last) last.next = entry
    last = entry
    return entry.bytes
  }

  const bytes: NameTable['bytes'] = (value, place, repeats) => {
    if (!repeats) return text(value, place, false)
    const before = previous.get(place)
    const same = before && mixer.bit(value && equal(value, before) ? 1 : 0, [place, hash(place, 3)], 5, sets.how)
    if (before && same) return before
    const out = text(value, place, false)
    previous.set(place, out)
    return out
  }
  return { name, bytes }
}

/** In place of a text that is coded as plain text, after a 1. */
const plainMark = Uint8Array.of(2)

/** Codes bytes one by one, ended by a 0; 0 and 1 themselves are written after a 1. */
export function textCoder(
  mixer: ContextMixer,
  { count, check }: Counters,
  memory: TextMemory,
  plan?: PlanText,
): (bytes: Uint8Array | undefined, place: number, isName: boolean) => Uint8Array {
  const { positions, farPositions, starts } = memory
  let stringStart = 0
  let match = 0
  let matched = 0
  /** Hashes of the string so far and of its last run of letters. */
  let whole = 0
  let word = 0

  const put = (byte: number): void => {
    if (memory.used === memory.history.length) memory.history = grown(memory.history)
    memory.history[memory.used++] = byte
  }

  const codeByte = (value: number, place: number, aligned: number, before: number): number => {
    const i = memory.used
    const c1 = i > stringStart ? memory.history[i - 1] : 0
    const c2 = i > stringStart + 1 ? memory.history[i - 2] : 0
    const c3 = i > stringStart + 2 ? memory.history[i - 3] : 0
    const c4 = i > stringStart + 3 ? memory.history[i - 4] : 0
    const expected = match > 0 ? memory.history[match] : 0
    const length = match > 0 ? Math.min(matched, 15) : 0
    // In the middle of what was there before, one decision does for a whole byte.
    if (matched >= longMatch) {
      const near = hash(10, Math.min(matched, mostMatched))
      const as = [near, hash(11, expected | (c1 << 8)), hash(near, expected), hash(12, whole), hash(13, word)]
      if (mixer.bit(value === expected ? 1 : 0, as, 1, sets.long)) return expected
    }
    const other = memory.history[aligned] ?? 0
    const contexts = [
      hash(1, place),
      hash(2, c1 | (place << 8)),
      hash(3, c1 | (c2 << 8)),
      hash(4, c1 | (c2 << 8) | (c3 << 16)),
      hash(5, c1 | (c2 << 8) | (c3 << 16) | (c4 << 24)),
      hash(6, expected | (length << 8)),
      hash(7, whole),
      hash(8, other | (c1 << 8) | (before << 16)),
      hash(9, word),
    ]
    return mixer.symbol(
      value,
      8,
      contexts,
      sets.text + Math.min(length, 15) * 4 + (i === stringStart ? 0 : before ? 1 : 2),
    )
  }

  /** Looks for a place in the history that goes on as this one may, and notes this one. */
  const findMatch = (place: number): void => {
    const { history, used: i } = memory
    const length = i - stringStart
    const h1 = history[i - 1]
    const h2 = history[i - 2]
    const h3 = history[i - 3]
    const first = h1 | (h2 << 8)
    const h = (length >= 3 ? hash(first | (h3 << 16), 11) : hash(place, length === 1 ? h1 : first)) & 0xffff
    if (length >= farLength) {
      const word = (at: number) =>
        history[at] | (history[at - 1] << 8) | (history[at - 2] << 16) | (history[at - 3] << 24)
      const far = hash(word(i - 1), word(i - 5)) & 0xffff
      if (match === 0) match = farPositions[far]
      farPositions[far] = i
    }
    if (match === 0) match = positions[h]
    positions[h] = i
    if (matched > 0 || match === 0) return
    while (matched < mostMatched && matched < match && history[match - 1 - matched] === history[i - 1 - matched])
      matched++
  }

  /** What a symbol is to those after it. */
  const note = (symbol: number, place: number): void => {
    put(symbol)
    whole = hash(whole, symbol)
    word = isLetter(symbol) ? hash(word, symbol) : 0
    if (match > 0 && memory.history[match] === symbol) {
      match++
      matched++
    } else match = matched = 0
    findMatch(place)
  }

  const codePlainText = (bytes: Uint8Array | undefined, form: number | undefined, place: number): Uint8Array => {
    const length = mixer.number(bytes?.length ?? 0, [place], sets.plain)
    // Before there is room made for it: a damaged length may be any number.
    check(length)
    const chosen = mixer.symbol(form ?? 0, 3, [place], sets.plain + 1)
    const out = codePlain(mixer.coder, { form: chosen, length, bytes }, memory.plain)
    // So that the next text can repeat this one.
    for (const byte of out) {
      if (byte < 2) note(1, place)
      note(byte, place)
    }
    put(0)
    return out
  }

  return (bytes, place, isName) => {
    count(textItems)
    const form = bytes && plan?.(bytes, { mixer, memory, place, isName })
    const told = form === undefined ? bytes : plainMark
    const lastStart = starts.get(place) ?? 0
    let alongPrevious = isName ? memory.previousStart : lastStart
    let alongPlace = lastStart
    memory.previousStart = memory.used
    starts.set(place, memory.used)
    stringStart = memory.used
    match = 0
    matched = 0
    whole = place
    word = 0
    let escaped = false
    for (let at = 0; ; ) {
      const source = told && at < told.length ? told[at] : 0
      const needsEscape = told !== undefined && at < told.length && (source < 2 || form !== undefined)
      const symbol = needsEscape && !escaped ? 1 : source
      const same = alongPlace === lastStart + (memory.used - stringStart) ? 1 : 0
      const byte = codeByte(symbol, place, alongPlace || alongPrevious, same)
      check(1)
      // The strings read alongside: step while they go on.
      if (alongPlace > 0) alongPlace = memory.history[alongPlace] === 0 ? alongPlace : alongPlace + 1
      if (alongPrevious > 0) alongPrevious = memory.history[alongPrevious] === 0 ? alongPrevious : alongPrevious + 1
      note(byte, place)
      if (byte === 0 && !escaped) break
      if (byte === 2 && escaped && at === 0) return codePlainText(bytes, form, place)
      escaped = byte === 1 && !escaped
      if (!escaped) at++
    }
    return unescaped(memory.history.subarray(stringStart, memory.used - 1))
  }
}

/** The text that symbols stand for: after a 1, the next stands for itself. */
function unescaped(symbols: Uint8Array): Uint8Array {
  const out = new Uint8Array(symbols.length)
  let used = 0
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === 1) i++
    out[used++] = symbols[i]
  }
  return out.slice(0, used)
}

function isLetter(c: number): boolean {
  return (c >= 97 && c <= 122) || (c >= 65 && c <= 90)
}

const latin1 = new TextDecoder('latin1')

function keyOf(bytes: Uint8Array): string {
  return latin1.decode(bytes)
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((v, i) => v === b[i])
}
