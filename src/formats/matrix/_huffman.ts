/**
 * Canonical, length-limited Huffman codes. An alphabet of one symbol has a code of 0 bits.
 * Huffman 1952; package-merge: Larmore, Hirschberg 1990; canonical decoding: Moffat, Turpin 1997.
 *
 * Stored: the number of symbols, the number of codes of each length, and the symbols in the order of their codes.
 * Within a length, codes ascend in that order, so nothing else is needed.
 */
import { bitsFor, type WordWriter } from './_bits.ts'
import { type FieldReader, type FieldWriter, widthFor } from './_fields.ts'

const lookupBits = 12

/** The longest code that an alphabet of k symbols may have: 12 bits, or 4 more than a fixed length needs. */
export function limitFor(k: number): number {
  return Math.min(32, Math.max(lookupBits, bitsFor(k) + 4))
}

export interface Huffman {
  /** Codes of each length; index 0 is length 0. */
  readonly countOfLength: Uint32Array
  /** What each symbol stands for (bits of a float, or a gap), in the order of the codes. */
  readonly symbols: Uint32Array
}

export interface Encoder {
  readonly huffman: Huffman
  /** By the index of a symbol in the alphabet that was given. */
  readonly codes: Uint32Array
  readonly lengths: Uint8Array
}

/** The best code for symbols with these counts (descending, all above 0), within `limit` bits. */
export function huffmanOf(symbols: Uint32Array, counts: Uint32Array, limit = limitFor(counts.length)): Encoder {
  const lengths = codeLengths(counts, limit)
  const order = Uint32Array.from(symbols, (_, i) => i).sort(
    (a, b) => lengths[a] - lengths[b] || symbols[a] - symbols[b],
  )
  const countOfLength = new Uint32Array(1 + (lengths.length > 0 ? lengths[order[order.length - 1]] : 0))
  const codes = new Uint32Array(symbols.length)
  let code = 0
  for (let i = 0; i < order.length; i++) {
    const length = lengths[order[i]]
    if (i > 0) code = (code + 1) * 2 ** (length - lengths[order[i - 1]])
    codes[order[i]] = code
    countOfLength[length]++
  }
  return { huffman: { countOfLength, symbols: order.map((i) => symbols[i]) }, codes, lengths }
}

/** Code lengths for counts in descending order; the longest at most `limit`. */
export function codeLengths(counts: ArrayLike<number>, limit: number): Uint8Array {
  const k = counts.length
  if (k <= 1) return new Uint8Array(k)
  if (bitsFor(k) > limit) throw new Error(`huffman: ${k} symbols do not fit in codes of ${limit} bits`)
  const lengths = unlimitedLengths(counts)
  return lengths[k - 1] <= limit ? lengths : packageMerge(counts, limit)
}

/** Huffman with two queues: leaves from the rarest on, and the nodes made of them, which come in ascending order. */
function unlimitedLengths(counts: ArrayLike<number>): Uint8Array {
  const k = counts.length
  const weight = new Float64Array(2 * k - 1)
  const parent = new Uint32Array(2 * k - 1)
  for (let i = 0; i < k; i++) weight[i] = counts[k - 1 - i]
  let leaf = 0
  let inner = k
  for (let made = k; made < 2 * k - 1; made++) {
    for (let child = 0; child < 2; child++) {
      const node = leaf < k && (inner >= made || weight[leaf] <= weight[inner]) ? leaf++ : inner++
      weight[made] += weight[node]
      parent[node] = made
    }
  }
  const depth = new Uint8Array(2 * k - 1)
  for (let i = 2 * k - 3; i >= 0; i--) depth[i] = Math.min(255, depth[parent[i]] + 1)
  return Uint8Array.from({ length: k }, (_, i) => depth[k - 1 - i])
}

/**
 * Package-merge: `limit` lists, each the leaves merged with pairs of the list before; a symbol's length is how many of
 * the first 2k-2 things of the last list contain it. Which things are leaves is kept; leaves come in ascending order.
 */
function packageMerge(counts: ArrayLike<number>, limit: number): Uint8Array {
  const k = counts.length
  const isLeaf: Uint8Array[] = []
  let weights = new Float64Array(0)
  for (let level = 0; level < limit; level++) {
    const pairs = weights.length >> 1
    const next = new Float64Array(k + pairs)
    const leaf = new Uint8Array(k + pairs)
    for (let i = 0, l = 0, p = 0; i < next.length; i++) {
      const pair = p < pairs ? weights[2 * p] + weights[2 * p + 1] : Number.POSITIVE_INFINITY
      if (l < k && counts[k - 1 - l] <= pair) {
        next[i] = counts[k - 1 - l++]
        leaf[i] = 1
      } else {
        next[i] = pair
        p++
      }
    }
    isLeaf.push(leaf)
    weights = next
  }
  const lengths = new Uint8Array(k)
  let taken = 2 * k - 2
  for (let level = limit - 1; level >= 0 && taken > 0; level--) {
    let leaves = 0
    for (let i = 0; i < taken; i++) leaves += isLeaf[level][i]
    for (let i = 0; i < leaves; i++) lengths[k - 1 - i]++
    taken = 2 * (taken - leaves)
  }
  return lengths
}

export function writeHuffman(out: FieldWriter, { countOfLength, symbols }: Huffman): void {
  out.u32(symbols.length)
  if (symbols.length > 1) {
    out.u8(countOfLength.length - 1)
    out.ints(countOfLength.subarray(1), widthFor(symbols.length))
  }
  out.ints(symbols, 4)
}

/** Bits that `writeHuffman` takes at most. */
export function tableBits(k: number): number {
  return 32 + (k > 1 ? 8 + limitFor(k) * 8 * widthFor(k) : 0) + 32 * k
}

/** Reads and checks a code: every string of bits must decode. */
export function readHuffman(input: FieldReader): Huffman {
  const k = input.u32()
  if (k <= 1) return { countOfLength: Uint32Array.of(k), symbols: input.ints(k, 4) as Uint32Array }
  const longest = input.u8()
  if (longest > 32) throw input.fail(`its codes take ${longest} bits, more than 32`)
  const stored = input.ints(longest, widthFor(k))
  const countOfLength = new Uint32Array(longest + 1)
  let kraft = 0
  let total = 0
  for (let length = 1; length <= longest; length++) {
    countOfLength[length] = stored[length - 1]
    kraft += countOfLength[length] * 2 ** (32 - length)
    total += countOfLength[length]
  }
  if (kraft !== 2 ** 32 || total !== k) throw input.fail('the code lengths make no complete code')
  return { countOfLength, symbols: input.ints(k, 4) as Uint32Array }
}

export interface Decoder {
  readonly huffman: Huffman
  /** For each first `lookup` bits: the index of the symbol, and its length, or 0 where the code is longer. */
  readonly lookup: number
  readonly index: Uint32Array
  readonly length: Uint8Array
  /** For each length: the first code, its bits moved to the top of 32; and the index of its symbol. */
  readonly firstCode: Float64Array
  readonly firstIndex: Uint32Array
}

export function decoderOf(huffman: Huffman): Decoder {
  const { countOfLength } = huffman
  const longest = countOfLength.length - 1
  const lookup = Math.min(lookupBits, longest)
  const index = new Uint32Array(1 << lookup)
  const length = new Uint8Array(1 << lookup)
  const firstCode = new Float64Array(longest + 2)
  const firstIndex = new Uint32Array(longest + 2)
  let code = 0
  let symbol = 0
  for (let bits = 1; bits <= longest; bits++) {
    firstCode[bits] = code
    firstIndex[bits] = symbol
    for (let i = 0; i < countOfLength[bits]; i++, symbol++, code += 2 ** (32 - bits)) {
      if (bits > lookup) continue
      const from = Math.floor(code / 2 ** (32 - lookup))
      index.fill(symbol, from, from + (1 << (lookup - bits)))
      length.fill(bits, from, from + (1 << (lookup - bits)))
    }
  }
  firstCode[longest + 1] = 2 ** 32
  return { huffman, lookup, index, length, firstCode, firstIndex }
}

/**
 * Decodes `count` symbol indices into `out` from bit `at` on; the bit after them. The caller compares it with where it
 * should be: codes never reach more than 32 bits beyond, and `words` that end are read as zeros.
 */
export function decodeRun(
  decoder: Decoder,
  words: Uint32Array,
  { at, count, out }: { at: number; count: number; out: Uint32Array },
): number {
  const { lookup, index, length, firstCode, firstIndex } = decoder
  if (lookup === 0) {
    out.fill(0, 0, count)
    return at
  }
  const drop = 32 - lookup
  // Word and bit apart, and all in whole numbers: several times faster than one position up to 2^32.
  let word = Math.floor(at / 32) | 0
  let bit = (at % 32) | 0
  for (let i = 0; i < count; i++) {
    const window = (words[word] << bit) | ((words[word + 1] >>> 1) >>> (31 - bit))
    const entry = window >>> drop
    let bits = length[entry]
    if (bits > 0) out[i] = index[entry]
    else {
      const unsigned = window >>> 0
      bits = lookup + 1
      while (unsigned >= firstCode[bits + 1]) bits++
      out[i] = firstIndex[bits] + Math.floor((unsigned - firstCode[bits]) / 2 ** (32 - bits))
    }
    bit += bits
    word += bit >>> 5
    bit &= 31
  }
  return word * 32 + bit
}

/** Writes the code of symbol `index` of the alphabet. */
export function writeCode(out: WordWriter, { codes, lengths }: Encoder, index: number): void {
  out.write(codes[index], lengths[index])
}
