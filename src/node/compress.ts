/** gzip and brotli at their strongest, off the main thread. */
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

/** What models' sizes are compared with on request. Of float weights they take minutes where packing takes seconds. */
export const compressors = { gzip: gzip9, brotli: brotli11 }

/** gzip at level 9. */
export function gzip9(bytes: Uint8Array): Promise<Uint8Array> {
  return promisify(gzip)(bytes, { level: 9 })
}

/** Brotli at quality 11 with the largest standard window. About half a megabyte a second. */
export function brotli11(bytes: Uint8Array): Promise<Uint8Array> {
  return promisify(brotliCompress)(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.byteLength,
    },
  })
}
