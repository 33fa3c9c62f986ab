/**
 * What the kernels of sHAC and HAC need beside the matrix: a table that decodes several symbols at once, and the codebook
 * in float64. Both multiply with zeros that are not in the matrix, so their inputs must be finite.
 */
import type { Ints } from '../_fields.ts'
import { type Decoder, decodeRun } from '../_huffman.ts'
import type { OpenOptions } from '../matrix.ts'
import { openKernel } from './kernel.ts'

const lookupBits = 12
const mostSymbols = 255

type Product = (x: Float32Array) => Float32Array | undefined

interface Parts {
  readonly decoder: Decoder
  /** Padded. */
  readonly words: Uint32Array
  /** The first bit of each column, and the end. */
  readonly starts: Float64Array
  readonly rows: number
  readonly columns: number
}

/** False where there are too many values, or codes too long for the table. */
function fits({ huffman }: Decoder): boolean {
  const k = huffman.symbols.length
  return k > 0 && k <= mostSymbols && huffman.countOfLength.length - 1 <= lookupBits
}

/** The values of the symbols; every place from k on is 0. */
function codebookOf({ huffman: { symbols } }: Decoder): Float64Array {
  const codebook = new Float64Array(256)
  codebook.set(new Float32Array(symbols.buffer, symbols.byteOffset, symbols.length))
  return codebook
}

/** The product of sHAC in WebAssembly; undefined where it cannot be. */
export function shacKernel(
  option: OpenOptions['kernel'],
  parts: Parts & {
    /** The first value of each column, and the end. */
    readonly from: Float64Array
    readonly indices: Ints
  },
): Product | undefined {
  const { decoder, words, starts, from, indices, rows, columns } = parts
  if (!fits(decoder)) return undefined
  const positions = [Uint32Array.from(starts), Uint32Array.from(from)]
  const arrays = [pairTable(decoder), codebookOf(decoder), words, ...positions, indices]
  const kernel = openKernel(option, arrays, { rows, columns })
  if (!kernel) return undefined
  return (x) =>
    kernel.run(x, (wasm, [table, codebook, wordsAt, startsAt, fromAt, rowsAt], at) => {
      const run =
        indices.BYTES_PER_ELEMENT === 1 ? wasm.shac8 : indices.BYTES_PER_ELEMENT === 2 ? wasm.shac16 : wasm.shac32
      run(table, codebook, wordsAt, startsAt, fromAt, rowsAt, at.x, at.y, columns)
    })
}

/** The product of HAC in WebAssembly; undefined where it cannot be. One value alone has no codes and no kernel. */
export function hacKernel(option: OpenOptions['kernel'], parts: Parts): Product | undefined {
  const { decoder, words, starts, rows, columns } = parts
  if (!fits(decoder) || decoder.lookup === 0) return undefined
  const arrays = [zerosTable(decoder), codebookOf(decoder), words, Uint32Array.from(starts)]
  const kernel = openKernel(option, arrays, { rows, columns })
  if (!kernel) return undefined
  return (x) =>
    kernel.run(x, (wasm, [table, codebook, wordsAt, startsAt], at) =>
      wasm.hac(table, codebook, wordsAt, startsAt, at.x, at.y, rows, columns),
    )
}

/** For each 12 bits: first symbol, second symbol or the zero at place k, bits of both, how many (a byte each). */
function pairTable(decoder: Decoder): Uint32Array {
  const k = decoder.huffman.symbols.length
  return tableOf((next) => {
    const one = next(decoder, 0)
    const two = next(decoder, one.end)
    return two.end <= lookupBits
      ? one.symbol | (two.symbol << 8) | (two.end << 16) | (2 << 24)
      : one.symbol | (k << 8) | (one.end << 16) | (1 << 24)
  })
}

/** For each 12 bits: zeros, the symbol after them or the zero at place k, bits of all, rows of all (a byte each). */
function zerosTable(decoder: Decoder): Uint32Array {
  const { symbols } = decoder.huffman
  return tableOf((next) => {
    let zeros = 0
    let end = 0
    for (;;) {
      const one = next(decoder, end)
      if (one.end > lookupBits) return zeros | (symbols.length << 8) | (end << 16) | (zeros << 24)
      end = one.end
      if (symbols[one.symbol] !== 0) return zeros | (one.symbol << 8) | (end << 16) | ((zeros + 1) << 24)
      zeros++
    }
  })
}

type Next = (decoder: Decoder, at: number) => { symbol: number; end: number }

function tableOf(entry: (next: Next) => number): Uint32Array {
  const words = new Uint32Array(3)
  const out = new Uint32Array(1)
  const next: Next = (decoder, at) => {
    const end = decodeRun(decoder, words, { at, count: 1, out })
    return { symbol: out[0], end }
  }
  return Uint32Array.from({ length: 1 << lookupBits }, (_, window) => {
    words[0] = window << (32 - lookupBits)
    return entry(next)
  })
}
