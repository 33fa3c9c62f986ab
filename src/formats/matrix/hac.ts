/**
 * HAC (Huffman address map compression): the Huffman codes of all values, zeros included, column after column, in
 * 32-bit words. Marinò et al. 2021; called HAM in Marinò, Ghidoli, Frasca, Malchiodi 2020 (ICPR).
 * Beside the paper's fields, the length of each column in bits is stored, so that columns can be decoded in parallel.
 * An alphabet of one value takes no bits at all.
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
import { readArray, startsOf, writeArray } from './_sparse.ts'
import { readWords } from './_stream.ts'
import { defineFormat } from './matrix.ts'
import { hacKernel } from './wasm/stream-kernels.ts'

export const hac = defineFormat({
  id: 'hac',
  code: 5,
  help: 'Huffman codes of all values, zeros included',
  write(out, { rows, columns, bits }) {
    const alphabet = alphabetOf(bits)
    const encoder = huffmanOf(alphabet.bits, alphabet.counts)
    const stream = wordWriter()
    const lengths = new Uint32Array(columns)
    for (let column = 0, at = 0; column < columns; column++) {
      const before = stream.length
      for (let row = 0; row < rows; row++) writeCode(stream, encoder, alphabet.indices[at++])
      lengths[column] = stream.length - before
    }
    writeHuffman(out, encoder.huffman)
    writeArray(out, lengths)
    out.ints(stream.finish(), 4)
  },
  read(input, { rows, columns }, { kernel }) {
    const huffman = readHuffman(input)
    if (huffman.symbols.length === 0 && rows * columns > 0) throw input.fail('no values at all')
    const starts = startsOf(readArray(input, columns))
    // Before anything is decoded: every code has a bit at least, so a column cannot claim more rows than it has bits.
    for (let j = 0; j < columns && huffman.symbols.length > 1; j++)
      if (starts[j + 1] - starts[j] < rows)
        throw input.fail(`column ${j} has ${starts[j + 1] - starts[j]} bits for ${rows} rows`)
    const words = padded(readWords(input, starts[columns]))
    const decoder = decoderOf(huffman)
    const symbols = new Uint32Array(rows)
    const compiled = hacKernel(kernel, { decoder, words, starts, rows, columns })
    // One value alone has no codes, so there is nothing to walk over.
    const isOneValue = huffman.symbols.length === 1
    if (isOneValue && starts[columns] !== 0) throw input.fail(`${starts[columns]} bits of codes for one value`)
    return {
      needsWalk: !isOneValue,
      walk(entries, visit) {
        for (let column = 0; column < columns; column++) {
          const end = decodeRun(decoder, words, { at: starts[column], count: rows, out: symbols })
          if (end !== starts[column + 1]) throw input.fail(`the codes of column ${column} do not end where they should`)
          let count = 0
          for (let row = 0; row < rows; row++) {
            const value = huffman.symbols[symbols[row]]
            if (value === 0) continue
            entries.rows[count] = row
            entries.bits[count++] = value
          }
          entries.count = count
          visit(column)
        }
      },
      matvec: (x) => compiled?.(x),
    }
  },
  bound({ rows, columns, density, distinct }) {
    const k = distinct + (density < 1 ? 1 : 0)
    const lengthBits = 8 * widthFor(rows * limitFor(k)) * columns + 8 + 32
    return (k > 1 ? 1 + Math.log2(k) : 0) + (tableBits(k) + lengthBits) / (rows * columns)
  },
})
