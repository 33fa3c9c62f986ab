/**
 * Deep Compression's sparse form: each value with the gap to the one before, in 8 bits (convolutions) or 5 (dense layers),
 * both Huffman-coded. A gap too long for its bits becomes fillers: zeros stored as values. Han, Mao, Dally 2016,
 * arXiv:1510.00149, sections 2 and 4. Gaps run on from column to column, so there are no column pointers.
 *
 * A gap g stands for g zeros and then a value; a filler has the greatest gap and the value +0.
 */
import { Numbers } from '../memory.ts'
import { type Alphabet, alphabetOf } from './_alphabet.ts'
import { bitsFor, padded, wordWriter } from './_bits.ts'
import type { FieldReader, FieldWriter } from './_fields.ts'
import {
  type Decoder,
  decodeRun,
  decoderOf,
  huffmanOf,
  readHuffman,
  tableBits,
  writeCode,
  writeHuffman,
} from './_huffman.ts'
import { readWords } from './_stream.ts'
import { defineFormat } from './matrix.ts'

export interface CsrRelativeOptions {
  /** Default 8. */
  readonly gapBits?: 8 | 5
}

/** The values, fillers among them, and the gap before each. */
export function relativeIndices(bits: Uint32Array, gapBits: number): { values: Uint32Array; gaps: Uint32Array } {
  const longest = 2 ** gapBits - 1
  const values = new Numbers()
  const gaps = new Numbers()
  let gap = 0
  for (let i = 0; i < bits.length; i++) {
    if (bits[i] === 0 && gap < longest) {
      gap++
      continue
    }
    values.push(bits[i])
    gaps.push(gap)
    gap = 0
  }
  // A filler at the very end would stand for nothing that the shape does not tell.
  const all = values.all
  let used = all.length
  while (used > 0 && all[used - 1] === 0) used--
  return { values: all.subarray(0, used), gaps: gaps.all.subarray(0, used) }
}

export const csrRelative = defineFormat<CsrRelativeOptions>({
  id: 'csr-relative',
  code: 2,
  help: 'values and the gaps between them, both Huffman-coded; long gaps take fillers',
  write(out, { bits }, { gapBits = 8 }) {
    if (gapBits !== 8 && gapBits !== 5) throw new Error(`csr-relative: gapBits is ${gapBits}; expected 8 or 5`)
    const { values, gaps } = relativeIndices(bits, gapBits)
    out.u32(values.length)
    writeCoded(out, alphabetOf(values))
    writeCoded(out, alphabetOf(gaps))
  },
  read(input, { rows, columns }) {
    const total = input.u32()
    if (total > rows * columns) throw input.fail(`${total} values in ${rows} x ${columns} entries`)
    const [values, gaps] = [readCoded(input, total), readCoded(input, total)]
    return {
      walk(entries, visit) {
        const pull = { values: puller(values, total), gaps: puller(gaps, total) }
        let left = total
        let at = -1
        let value = 0
        const advance = (): void => {
          value = 0
          while (value === 0 && left > 0) {
            left--
            at += 1 + pull.gaps()
            value = pull.values()
          }
          if (value === 0) at = rows * columns
          else if (at >= rows * columns) throw input.fail(`a value lies at entry ${at} of ${rows * columns}`)
        }
        advance()
        for (let column = 0, from = 0; column < columns; column++, from += rows) {
          entries.count = 0
          for (; at < from + rows; advance()) {
            entries.rows[entries.count] = at - from
            entries.bits[entries.count++] = value
          }
          visit(column)
        }
      },
    }
  },
  /** Of 8-bit gaps: each filler stands for 256 zeros. */
  bound({ rows, columns, density, distinct }) {
    const stored = density + (1 - density) / 256
    const k = distinct + 1
    return stored * (bitsFor(k) + 8) + (tableBits(k) + tableBits(256) + 32 + 64 + 62) / (rows * columns)
  },
})

function writeCoded(out: FieldWriter, alphabet: Alphabet): void {
  const encoder = huffmanOf(alphabet.bits, alphabet.counts)
  const stream = wordWriter()
  for (let i = 0; i < alphabet.indices.length; i++) writeCode(stream, encoder, alphabet.indices[i])
  writeHuffman(out, encoder.huffman)
  out.u32(stream.length)
  out.ints(stream.finish(), 4)
}

interface Coded {
  readonly decoder: Decoder
  readonly words: Uint32Array
  readonly bits: number
  readonly input: FieldReader
}

function readCoded(input: FieldReader, total: number): Coded {
  const huffman = readHuffman(input)
  if (huffman.symbols.length === 0 && total > 0) throw input.fail('values without a codebook')
  const bits = input.u32()
  return { decoder: decoderOf(huffman), words: padded(readWords(input, bits)), bits, input }
}

/** Gives one decoded symbol after another; decodes a few hundred at a time. Checks that they end where they should. */
function puller({ decoder, words, bits, input }: Coded, total: number): () => number {
  const out = new Uint32Array(512)
  const { symbols } = decoder.huffman
  let at = 0
  let next = 512
  let left = total
  return () => {
    if (next === out.length) {
      const count = Math.min(left, out.length)
      at = decodeRun(decoder, words, { at, count, out })
      left -= count
      if (left === 0 ? at !== bits : at > bits) throw input.fail('the codes do not end where they should')
      next = 0
    }
    return symbols[out[next++]]
  }
}
