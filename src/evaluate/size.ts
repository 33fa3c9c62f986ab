/** The bytes of a model: as it is, and as general compressors and coppice's own container make it. */

/** Bytes to packed bytes. `src/node/compress.ts` has gzip and brotli; in a page, gzip comes with the platform. */
export type Compressor = (bytes: Uint8Array) => Promise<Uint8Array> | Uint8Array

export interface Compressors {
  readonly gzip?: Compressor
  readonly brotli?: Compressor
  readonly pack?: Compressor
}

export interface Sizes {
  readonly rawBytes: number
  /** At level 9. */
  readonly gzipBytes?: number
  /** At quality 11. */
  readonly brotliBytes?: number
  /** As coppice's container. */
  readonly packedBytes?: number
}

/** Measures with the compressors that are given. */
export async function measureSizes(bytes: Uint8Array, compressors: Compressors = {}): Promise<Sizes> {
  const { gzip, brotli, pack } = compressors
  return {
    rawBytes: bytes.byteLength,
    ...(gzip ? { gzipBytes: (await gzip(bytes)).byteLength } : {}),
    ...(brotli ? { brotliBytes: (await brotli(bytes)).byteLength } : {}),
    ...(pack ? { packedBytes: (await pack(bytes)).byteLength } : {}),
  }
}
