/** Huffman codes: as short as can be (against brute force), within the limit, and decoded as they were written. */
import { expect, it } from 'vitest'
import { random } from '../../tensor/random.ts'
import { entropyOf } from './_alphabet.ts'
import { padded, wordWriter } from './_bits.ts'
import { fieldReader, fieldWriter } from './_fields.ts'
import { codeLengths, decodeRun, decoderOf, huffmanOf, readHuffman, writeCode, writeHuffman } from './_huffman.ts'

const cost = (counts: ArrayLike<number>, lengths: ArrayLike<number>): number => {
  let bits = 0
  for (let i = 0; i < counts.length; i++) bits += counts[i] * lengths[i]
  return bits
}

const descending = (n: number, draw: () => number): Uint32Array =>
  Uint32Array.from({ length: n }, draw).sort().reverse()

/** The least cost of any lengths up to `limit` that keep Kraft's inequality; counts descend, so lengths ascend. */
function bruteForce(counts: Uint32Array, limit: number): number {
  let best = Number.POSITIVE_INFINITY
  const lengths: number[] = []
  const extend = (space: number): void => {
    if (lengths.length === counts.length) {
      best = Math.min(best, cost(counts, lengths))
      return
    }
    for (let l = lengths.at(-1) ?? 1; l <= limit; l++) {
      if (2 ** -l > space) continue
      lengths.push(l)
      extend(space - 2 ** -l)
      lengths.pop()
    }
  }
  extend(1)
  return best
}

it('is optimal on small alphabets, with and without a limit that binds', () => {
  const rng = random(1)
  for (let i = 0; i < 300; i++) {
    const counts = descending(2 + rng.below(6), () => 1 + Math.floor(1000 ** rng.next()))
    for (const limit of [3, 4, 7]) {
      const lengths = codeLengths(counts, limit)
      expect(Math.max(...lengths)).toBeLessThanOrEqual(limit)
      expect(cost(counts, lengths)).toBe(bruteForce(counts, limit))
    }
  }
})

it('takes between the entropy and one bit more; one symbol takes none', () => {
  const rng = random(2)
  for (let i = 0; i < 200; i++) {
    const counts = descending(1 + rng.below(400), () => 1 + Math.floor(1e6 ** rng.next()))
    const total = counts.reduce((a, b) => a + b, 0)
    const mean = cost(counts, codeLengths(counts, 32)) / total
    expect(mean).toBeGreaterThanOrEqual(entropyOf(counts) - 1e-9)
    expect(mean).toBeLessThan(entropyOf(counts) + 1)
  }
  expect(Array.from(codeLengths([7], 12))).toEqual([0])
})

it('refuses more symbols than codes of the limit', () => {
  expect(() => codeLengths(new Array(9).fill(1), 3)).toThrow('huffman: 9 symbols do not fit in codes of 3 bits')
})

it('decodes what it wrote from every bit of a word, codes past the table among them', () => {
  const rng = random(3)
  // Fibonacci counts make the longest codes.
  const counts = [1, 1]
  while (counts.length < 26) counts.push(counts[counts.length - 1] + counts[counts.length - 2])
  counts.reverse()
  const symbols = Uint32Array.from(counts, (_, i) => 1000 + i)
  for (const limit of [5, 8, 12, 16, 25, 32]) {
    const encoder = huffmanOf(symbols, Uint32Array.from(counts), limit)
    const fields = fieldWriter()
    writeHuffman(fields, encoder.huffman)
    const bytes = fields.finish()
    const decoder = decoderOf(readHuffman(fieldReader('test', bytes, { at: 0, end: bytes.length })))
    for (let offset = 0; offset < 32; offset++) {
      const stream = wordWriter()
      stream.write(0xffffffff, offset)
      const wanted = Array.from({ length: 200 }, () => rng.below(26))
      for (const i of wanted) writeCode(stream, encoder, i)
      const { length } = stream
      const out = new Uint32Array(200)
      const end = decodeRun(decoder, padded(stream.finish()), { at: offset, count: 200, out })
      expect(end).toBe(length)
      expect(Array.from(out, (i) => decoder.huffman.symbols[i])).toEqual(wanted.map((i) => symbols[i]))
    }
  }
})

it('refuses code lengths that leave gaps or overlap', () => {
  for (const lengths of [
    [2, 1],
    [1, 1],
    [3, 0],
    [0, 0, 7],
  ]) {
    const out = fieldWriter()
    out.u32(3)
    out.u8(lengths.length)
    out.ints(lengths, 1)
    out.ints([1, 2, 3], 4)
    const bytes = out.finish()
    expect(() => readHuffman(fieldReader('test', bytes, { at: 0, end: bytes.length }))).toThrow(
      'test: the code lengths make no complete code; the matrix is damaged',
    )
  }
})
