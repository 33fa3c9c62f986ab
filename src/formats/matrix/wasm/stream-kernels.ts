/**
 * What the kernels of sHAC, HAC and index map need beside the matrix: a table of values, or that decodes several symbols at
 * once, by the next bits of the stream with the first one lowest, and the stream in that order of bits. All multiply with
 * zeros that are not in the matrix or are left out elsewhere, so their inputs must be finite.
 */
import type { Ints } from '../_fields.ts'
import { type Decoder, decodeRun } from '../_huffman.ts'
import type { OpenOptions } from '../matrix.ts'
import { type Kernel, type KernelParts, openKernel } from './kernel.ts'

const lookupBits = 12
/** Two codes fit most of the time, and the table in the fastest cache. */
const pairBits = 10
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

/** 0 times what is not finite is NaN: several times faster than asking each. */
function allFinite(x: Float32Array): boolean {
  let zero = 0
  for (let i = 0; i < x.length; i++) zero += 0 * x[i]
  return zero === 0
}

/** A product that is left to others where an input is not finite. */
function finiteProduct(
  option: OpenOptions['kernel'],
  shape: { rows: number; columns: number },
  { parts, run }: { parts: () => KernelParts; run: Parameters<Kernel['run']>[1] },
): Product | undefined {
  const kernel = openKernel(option, shape, parts)
  return kernel && ((x) => (allFinite(x) ? kernel.run(x, run) : undefined))
}

function valuesOf({ huffman: { symbols } }: Decoder): Float32Array {
  return new Float32Array(symbols.buffer, symbols.byteOffset, symbols.length)
}

/** The values of the symbols; every place from k on is 0. */
function codebookOf(decoder: Decoder): Float64Array {
  const codebook = new Float64Array(256)
  codebook.set(valuesOf(decoder))
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
  const size = indices.BYTES_PER_ELEMENT
  const tableBits = Math.max(pairBits, decoder.huffman.countOfLength.length - 1)
  return finiteProduct(
    option,
    { rows, columns },
    {
      parts: () => ({
        table: pairTable(decoder, tableBits, size),
        arrays: [lowestFirst(words), Uint32Array.from(starts), Uint32Array.from(from), indices],
      }),
      run(wasm, [wordsAt, startsAt, fromAt, rowsAt], y) {
        const product = size === 1 ? wasm.shac8 : size === 2 ? wasm.shac16 : wasm.shac32
        product(tableBits, wordsAt, startsAt, fromAt, rowsAt, y, columns)
      },
    },
  )
}

/** The product of HAC in WebAssembly; undefined where it cannot be. One value alone has no codes and no kernel. */
export function hacKernel(option: OpenOptions['kernel'], parts: Parts): Product | undefined {
  const { decoder, words, starts, rows, columns } = parts
  if (!fits(decoder) || decoder.lookup === 0) return undefined
  return finiteProduct(
    option,
    { rows, columns },
    {
      parts: () => ({
        table: zerosTable(decoder),
        arrays: [codebookOf(decoder), lowestFirst(words), Uint32Array.from(starts)],
      }),
      run: (wasm, [codebook, wordsAt, startsAt], y) => wasm.hac(codebook, wordsAt, startsAt, y, rows, columns),
    },
  )
}

/** The product of an index map whose numbers have `width` bits; undefined where it cannot be. */
export function indexMapKernel(
  option: OpenOptions['kernel'],
  parts: { codebook: Uint32Array; width: number; words: Uint32Array; rows: number; columns: number },
): Product | undefined {
  const { codebook, width, words, rows, columns } = parts
  if (width === 0 || width > lookupBits) return undefined
  return finiteProduct(
    option,
    { rows, columns },
    {
      parts() {
        const table = new Float64Array(1 << width)
        const values = new Float32Array(codebook.buffer, codebook.byteOffset, codebook.length)
        for (const [number, value] of values.entries()) table[reversed(number) >>> (32 - width)] = value
        return { table, arrays: [lowestFirst(words)] }
      },
      run: (wasm, [wordsAt], y) => wasm.indexMap(width, wordsAt, y, rows, columns),
    },
  )
}

/**
 * For each `tableBits` bits (16 bytes): the first value and the second (f32), the bits of their codes, the bytes of their row
 * numbers, of `size` each. Where only one code fits, the second value is 0.
 */
function pairTable(decoder: Decoder, tableBits: number, size: number): Uint32Array {
  const table = new Uint32Array(4 << tableBits)
  const floats = new Float32Array(table.buffer)
  const values = valuesOf(decoder)
  for (const { window, next } of windowsOf(decoder, tableBits)) {
    const one = next(0)
    const two = next(one.end)
    const both = two.end <= tableBits
    floats[4 * window] = values[one.symbol]
    floats[4 * window + 1] = both ? values[two.symbol] : 0
    table[4 * window + 2] = both ? two.end : one.end
    table[4 * window + 3] = both ? 2 * size : size
  }
  return table
}

/** For each 12 bits: zeros, the symbol after them or the zero at place k, bits of all, rows of all (a byte each). */
function zerosTable(decoder: Decoder): Uint32Array {
  const { symbols } = decoder.huffman
  const entry = (next: Next): number => {
    let zeros = 0
    let end = 0
    for (;;) {
      const one = next(end)
      if (one.end > lookupBits) return zeros | (symbols.length << 8) | (end << 16) | (zeros << 24)
      end = one.end
      if (symbols[one.symbol] !== 0) return zeros | (one.symbol << 8) | (end << 16) | ((zeros + 1) << 24)
      zeros++
    }
  }
  const table = new Uint32Array(1 << lookupBits)
  for (const { window, next } of windowsOf(decoder, lookupBits)) table[window] = entry(next)
  return table
}

/** The symbol from a bit of a window on, and the bit after its code. */
type Next = (at: number) => { symbol: number; end: number }

/** All windows of so many bits, the first one lowest; zeros follow. */
function* windowsOf(decoder: Decoder, bits: number): Generator<{ window: number; next: Next }> {
  const words = new Uint32Array(3)
  const out = new Uint32Array(1)
  const next: Next = (at) => {
    const end = decodeRun(decoder, words, { at, count: 1, out })
    return { symbol: out[0], end }
  }
  for (let window = 0; window < 1 << bits; window++) {
    words[0] = reversed(window)
    yield { window, next }
  }
}

/** Words that hold their first bit lowest, behind one of zeros. */
function lowestFirst(words: Uint32Array): Uint32Array {
  const out = new Uint32Array(words.length + 1)
  for (let i = 0; i < words.length; i++) out[i + 1] = reversed(words[i])
  return out
}

/** The bits of a word in the other order. */
function reversed(word: number): number {
  let bits = ((word >>> 1) & 0x55555555) | ((word & 0x55555555) << 1)
  bits = ((bits >>> 2) & 0x33333333) | ((bits & 0x33333333) << 2)
  bits = ((bits >>> 4) & 0x0f0f0f0f) | ((bits & 0x0f0f0f0f) << 4)
  bits = ((bits >>> 8) & 0x00ff00ff) | ((bits & 0x00ff00ff) << 8)
  return (bits >>> 16) | (bits << 16)
}
