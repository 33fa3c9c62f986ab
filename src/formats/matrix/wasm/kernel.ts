/**
 * Products in WebAssembly. Each opened matrix has an instance and a memory of its own, made at its first product: the
 * arrays of the matrix, then x and a few zeros, then y. Where WebAssembly, its SIMD or memory for it is missing, callers take
 * the TypeScript path.
 */

import { compileWasm } from '../../wasm/compile.ts'
import type { OpenOptions } from '../matrix.ts'
import { matrixWasm } from './generated/matrix.ts'

type Csc = (nz: number, ri: number, cb: number, x: number, y: number, columns: number) => void
type Shac = (
  table: number,
  codebook: number,
  words: number,
  starts: number,
  from: number,
  rows: number,
  x: number,
  y: number,
  columns: number,
) => void

export interface Exports {
  readonly memory: WebAssembly.Memory
  dense(values: number, x: number, y: number, rows: number, columns: number): void
  hac(
    table: number,
    codebook: number,
    words: number,
    starts: number,
    x: number,
    y: number,
    rows: number,
    columns: number,
  ): void
  readonly csc8: Csc
  readonly csc16: Csc
  readonly csc32: Csc
  readonly shac8: Shac
  readonly shac16: Shac
  readonly shac32: Shac
}

export interface Kernel {
  /** Puts x into the memory, calls `product` with where everything lies, and gives a copy of y; undefined without memory. */
  run(
    x: Float32Array,
    product: (wasm: Exports, arrays: readonly number[], at: { readonly x: number; readonly y: number }) => void,
  ): Float32Array | undefined
}

type Array = Uint8Array | Uint16Array | Uint32Array | Float64Array

const page = 65536
const firstByte = 4096
/** The kernel of HAC reads so many values beyond x. */
const zerosAfterX = 12
let compiled: WebAssembly.Module | undefined | null

/** A kernel over these arrays; undefined where it is not wanted or not to be had. */
export function openKernel(
  option: OpenOptions['kernel'],
  arrays: readonly Array[],
  { rows, columns }: { rows: number; columns: number },
): Kernel | undefined {
  if (option === 'typescript') return undefined
  if (compiled === undefined) compiled = compileWasm(matrixWasm)
  if (!compiled) return undefined
  const module = compiled
  const addresses: number[] = []
  let end = firstByte
  // Between two arrays lie 16 bytes or more: kernels may read a little beyond what they use.
  const place = (byteLength: number): number => {
    const at = end
    end = Math.ceil((end + byteLength) / 16) * 16 + 16
    return at
  }
  for (const array of arrays) addresses.push(place(array.byteLength))
  const at = { x: place((rows + zerosAfterX) * 4), y: place(columns * 4) }
  let wasm: Exports | undefined | null
  const instantiate = (): Exports | null => {
    try {
      const instance = new WebAssembly.Instance(module, { env: { abort: () => {} } })
      const made = instance.exports as unknown as Exports
      made.memory.grow(Math.ceil(Math.max(0, end - made.memory.buffer.byteLength) / page))
      const bytes = new Uint8Array(made.memory.buffer)
      for (const [i, a] of arrays.entries())
        bytes.set(new Uint8Array(a.buffer, a.byteOffset, a.byteLength), addresses[i])
      return made
    } catch {
      return null
    }
  }
  return {
    run(x, product) {
      if (wasm === undefined) wasm = instantiate()
      if (wasm === null) return undefined
      new Float32Array(wasm.memory.buffer, at.x, rows).set(x)
      product(wasm, addresses, at)
      return new Float32Array(wasm.memory.buffer, at.y, columns).slice()
    },
  }
}
