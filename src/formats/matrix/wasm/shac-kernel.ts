/** What the sHAC kernel needs beside the matrix: a table that decodes two symbols at once, and the codebook in float64. */

import type { Ints } from '../_fields.ts'
import { type Decoder, decodeRun } from '../_huffman.ts'
import type { OpenOptions } from '../matrix.ts'
import { openKernel } from './kernel.ts'

const lookupBits = 12
const mostSymbols = 255

interface Parts {
  readonly decoder: Decoder
  /** Padded. */
  readonly words: Uint32Array
  /** The first bit of each column, and the end. */
  readonly starts: Float64Array
  /** The first value of each column, and the end. */
  readonly from: Float64Array
  readonly indices: Ints
  readonly rows: number
  readonly columns: number
}

/**
 * The product in WebAssembly; undefined where it cannot be: too many values, or codes too long for the table. Inputs that
 * are not finite take the other path, since the kernel multiplies with zeros that are not in the matrix.
 */
export function shacKernel(
  option: OpenOptions['kernel'],
  parts: Parts,
): ((x: Float32Array) => Float32Array) | undefined {
  const { decoder, words, starts, from, indices, rows, columns } = parts
  const { symbols, countOfLength } = decoder.huffman
  const k = symbols.length
  if (k === 0 || k > mostSymbols || countOfLength.length - 1 > lookupBits) return undefined
  const codebook = new Float64Array(256)
  codebook.set(new Float32Array(symbols.buffer, symbols.byteOffset, k))
  const arrays = [pairTable(decoder), codebook, words, Uint32Array.from(starts), Uint32Array.from(from), indices]
  const kernel = openKernel(option, arrays, { rows, columns })
  if (!kernel) return undefined
  return (x) =>
    kernel.run(x, (wasm, [table, codebookAt, wordsAt, startsAt, fromAt, rowsAt], at) => {
      const run =
        indices.BYTES_PER_ELEMENT === 1 ? wasm.shac8 : indices.BYTES_PER_ELEMENT === 2 ? wasm.shac16 : wasm.shac32
      run(table, codebookAt, wordsAt, startsAt, fromAt, rowsAt, at.x, at.y, columns)
    })
}

/** For each 12 bits: first symbol, second symbol or the zero at place k, bits of both, how many (a byte each). */
function pairTable(decoder: Decoder): Uint32Array {
  const k = decoder.huffman.symbols.length
  const table = new Uint32Array(1 << lookupBits)
  const out = new Uint32Array(1)
  for (let window = 0; window < table.length; window++) {
    const words = Uint32Array.of(window << (32 - lookupBits), 0, 0)
    const one = decodeRun(decoder, words, { at: 0, count: 1, out })
    const first = out[0]
    const two = decodeRun(decoder, words, { at: one, count: 1, out })
    table[window] =
      two <= lookupBits ? first | (out[0] << 8) | (two << 16) | (2 << 24) : first | (k << 8) | (one << 16) | (1 << 24)
  }
  return table
}
