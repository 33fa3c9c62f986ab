/**
 * sHAC: compressed sparse columns whose values are Huffman codes. Marinò et al. 2021; called sHAM at ICPR 2020.
 *
 * Stored: the code, how many values and how many bits each column has (from which every column's start bit follows, so
 * that columns decode in parallel), the rows of the values at 1, 2 or 4 bytes, and the codes in 32-bit words.
 * The bound printed in the 2020 paper counts n row numbers; there are as many as values.
 */
import { alphabetOf } from './_alphabet.ts'
import { padded, wordWriter } from './_bits.ts'
import { widthFor } from './_fields.ts'
import {
  decodeRun,
  decoderOf,
  huffmanOf,
  limitFor,
  readHuffman,
  tableBits,
  writeCode,
  writeHuffman,
} from './_huffman.ts'
import { readArray, readRows, sparseOf, startsOf, writeArray } from './_sparse.ts'
import { readWords } from './_stream.ts'
import { defineFormat } from './matrix.ts'
import { shacKernel } from './wasm/stream-kernels.ts'

export const shac = defineFormat({
  id: 'shac',
  code: 6,
  help: 'sparse columns with Huffman codes of the values that are not zero',
  write(out, matrix) {
    const { counts, rows, bits } = sparseOf(matrix)
    const alphabet = alphabetOf(bits)
    const encoder = huffmanOf(alphabet.bits, alphabet.counts)
    const stream = wordWriter()
    const lengths = new Uint32Array(matrix.columns)
    for (let column = 0, at = 0; column < matrix.columns; column++) {
      const before = stream.length
      for (let i = 0; i < counts[column]; i++) writeCode(stream, encoder, alphabet.indices[at++])
      lengths[column] = stream.length - before
    }
    writeHuffman(out, encoder.huffman)
    writeArray(out, counts)
    writeArray(out, lengths)
    out.ints(rows, widthFor(matrix.rows))
    out.ints(stream.finish(), 4)
  },
  read(input, { rows, columns }, { kernel }) {
    const huffman = readHuffman(input)
    const counts = readArray(input, columns)
    const from = startsOf(counts)
    if (huffman.symbols.length === 0 && from[columns] > 0) throw input.fail('values without a codebook')
    const starts = startsOf(readArray(input, columns))
    const indices = readRows(input, { rows, counts, total: from[columns] })
    const words = padded(readWords(input, starts[columns]))
    const decoder = decoderOf(huffman)
    const symbols = new Uint32Array(rows)
    const compiled = shacKernel(kernel, { decoder, words, starts, from, indices, rows, columns })
    return {
      walk(entries, visit) {
        for (let column = 0; column < columns; column++) {
          const count = counts[column]
          const end = decodeRun(decoder, words, { at: starts[column], count, out: symbols })
          if (end !== starts[column + 1]) throw input.fail(`the codes of column ${column} do not end where they should`)
          for (let i = 0, at = from[column]; i < count; i++, at++) {
            entries.rows[i] = indices[at]
            entries.bits[i] = huffman.symbols[symbols[i]]
          }
          entries.count = count
          visit(column)
        }
      },
      matvec: (x) => compiled?.(x),
    }
  },
  bound({ rows, columns, density, distinct: k }) {
    const perColumn = 8 * widthFor(rows) + 8 * widthFor(rows * limitFor(k))
    const codeBits = k > 1 ? 1 + Math.log2(k) : 0
    return density * (codeBits + 8 * widthFor(rows)) + (perColumn * columns + tableBits(k) + 16 + 32) / (rows * columns)
  },
})
