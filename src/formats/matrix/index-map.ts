/**
 * Index map: the distinct values, and for each entry the number of its value. Han et al. 2016 (arXiv:1510.00149) count
 * n·b / (n·log2 k + k·b) of compression for n weights of b bits. Numbers take as few bits as k needs (`tight`), or 8,
 * 16 or 32 (`aligned`, as Marinò et al. store them).
 */
import { alphabetOf } from './_alphabet.ts'
import { bitsFor, maxBits, padded, peek, wordWriter } from './_bits.ts'
import { readWords } from './_stream.ts'
import { defineFormat } from './matrix.ts'
import { indexMapKernel } from './wasm/stream-kernels.ts'

export interface IndexMapOptions {
  readonly indexBits?: 'tight' | 'aligned'
}

export const indexMap = defineFormat<IndexMapOptions>({
  id: 'index-map',
  code: 3,
  help: 'a codebook and the number of each entry in it',
  write(out, { bits }, { indexBits = 'tight' }) {
    const alphabet = alphabetOf(bits)
    const k = alphabet.bits.length
    const width = indexBits === 'tight' ? bitsFor(k) : k <= 256 ? 8 : k <= 65536 ? 16 : 32
    if (bits.length * width > maxBits)
      throw new Error(`index-map: ${bits.length} numbers of ${width} bits; expected at most ${maxBits} bits in all`)
    const stream = wordWriter()
    for (let i = 0; i < bits.length; i++) stream.write(alphabet.indices[i], width)
    out.u32(k)
    out.u8(width)
    out.ints(alphabet.bits, 4)
    out.ints(stream.finish(), 4)
  },
  read(input, { rows, columns }, { kernel }) {
    const k = input.u32()
    const width = input.u8()
    if (width > 32 || width < bitsFor(k)) throw input.fail(`numbers of ${width} bits for ${k} values`)
    if (k === 0 && rows * columns > 0) throw input.fail('no values at all')
    const codebook = input.ints(k, 4) as Uint32Array
    const words = padded(readWords(input, rows * columns * width))
    const compiled = indexMapKernel(kernel, { codebook, width, words, rows, columns })
    const numberAt = (at: number): number => (width === 0 ? 0 : peek(words, at * width) >>> (32 - width))
    return {
      // One value alone has no numbers, so there is nothing to check.
      needsWalk: width > 0,
      walk(entries, visit) {
        for (let column = 0, at = 0; column < columns; column++) {
          let count = 0
          for (let row = 0; row < rows; row++) {
            const number = numberAt(at++)
            if (number >= k) throw input.fail(`value ${number} is outside of a codebook of ${k}`)
            if (codebook[number] === 0) continue
            entries.rows[count] = row
            entries.bits[count++] = codebook[number]
          }
          entries.count = count
          visit(column)
        }
      },
      matvec: (x) => compiled?.(x),
    }
  },
  /** Of the tight form. */
  bound({ rows, columns, density, distinct }) {
    const k = distinct + (density < 1 ? 1 : 0)
    return bitsFor(k) + (32 * k + 40 + 31) / (rows * columns)
  },
})
