/**
 * Products in WebAssembly. Each opened matrix has an instance and a memory of its own, made at its first product: a decoding
 * table, then x and a few zeros, then the arrays of the matrix, then y. Where WebAssembly, its SIMD or memory for it is missing,
 * callers take the TypeScript path.
 */

import { compileWasm } from '../../wasm/compile.ts'
import type { OpenOptions } from '../matrix.ts'
import { matrixWasm } from './generated/matrix.ts'

type Csc = (nz: number, ri: number, cb: number, y: number, columns: number) => void
type Shac = (
  tableBits: number,
  words: number,
  starts: number,
  from: number,
  rows: number,
  y: number,
  columns: number,
) => void

export interface Exports {
  readonly memory: WebAssembly.Memory
  dense(values: number, y: number, rows: number, columns: number): void
  indexMap(width: number, words: number, y: number, rows: number, columns: number): void
  hac(codebook: number, words: number, starts: number, y: number, rows: number, columns: number): void
  readonly csc8: Csc
  readonly csc16: Csc
  readonly csc32: Csc
  readonly shac8: Shac
  readonly shac16: Shac
  readonly shac32: Shac
}

export interface Kernel {
  /** Puts x into the memory, calls `product` with where everything lies, and gives a copy of y; undefined without memory. */
  run(x: Float32Array, product: (wasm: Exports, arrays: readonly number[], y: number) => void): Float32Array | undefined
}

type Array = Uint8Array | Uint16Array | Uint32Array | Float64Array

export interface KernelParts {
  /** At most 64 KiB. */
  readonly table?: Array
  readonly arrays: readonly Array[]
}

const page = 65536
// As in assembly/matrix.ts.
const tableAt = 4096
const xAt = tableAt + 65536
/** The kernel of HAC reads so many values beyond x. */
const zerosAfterX = 12
let compiled: WebAssembly.Module | undefined | null

/** A kernel over the arrays of `parts`, which are asked for when it is first used; undefined where it is not wanted or not to be had. */
export function openKernel(
  option: OpenOptions['kernel'],
  { rows, columns }: { rows: number; columns: number },
  parts: () => KernelParts,
): Kernel | undefined {
  if (option === 'typescript') return undefined
  if (compiled === undefined) compiled = compileWasm(matrixWasm)
  if (!compiled) return undefined
  const module = compiled
  let instance: ReturnType<typeof instantiate> | undefined
  return {
    run(x, product) {
      if (instance === undefined) instance = instantiate(module, { rows, columns }, parts)
      if (instance === null) return undefined
      const { wasm, addresses, yAt } = instance
      new Float32Array(wasm.memory.buffer, xAt, rows).set(x)
      product(wasm, addresses, yAt)
      return new Float32Array(wasm.memory.buffer, yAt, columns).slice()
    },
  }
}

function instantiate(
  module: WebAssembly.Module,
  { rows, columns }: { rows: number; columns: number },
  parts: () => KernelParts,
): { wasm: Exports; addresses: readonly number[]; yAt: number } | null {
  try {
    const { table, arrays } = parts()
    let end = xAt
    // Between two arrays lie 16 bytes or more: kernels may read a little beyond what they use.
    const place = (byteLength: number): number => {
      const at = end
      end = Math.ceil((end + byteLength) / 16) * 16 + 16
      return at
    }
    place((rows + zerosAfterX) * 4)
    const addresses = arrays.map((array) => place(array.byteLength))
    const yAt = place(columns * 4)
    const { exports } = new WebAssembly.Instance(module, { env: { abort: () => {} } })
    const wasm = exports as unknown as Exports
    wasm.memory.grow(Math.ceil(Math.max(0, end - wasm.memory.buffer.byteLength) / page))
    const bytes = new Uint8Array(wasm.memory.buffer)
    const put = (a: Array, at: number): void => bytes.set(new Uint8Array(a.buffer, a.byteOffset, a.byteLength), at)
    if (table) put(table, tableAt)
    for (const [i, array] of arrays.entries()) put(array, addresses[i])
    return { wasm, addresses, yAt }
  } catch {
    return null
  }
}
