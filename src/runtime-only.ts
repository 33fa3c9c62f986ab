/**
 * The decoder alone, for pages and programs that load packed models: `coppice/runtime`. It brings no runtime along; give the
 * bytes to whichever one is there.
 */
import { unpackOnnx } from './formats/unpack-onnx.ts'

/** The ONNX file in a packed one. Throws one sentence where the bytes are no packed model or are damaged. */
export function decodeCop(bytes: Uint8Array): Uint8Array {
  return unpackOnnx(bytes)
}

export interface LoadOptions {
  /** Something like the platform's fetch. */
  readonly fetch?: (url: string) => Promise<Response>
}

/** Fetches a packed model and decodes it. Throws where the answer is not 200 to 299, or is not a packed model. */
export async function loadCop(url: string, { fetch = globalThis.fetch }: LoadOptions = {}): Promise<Uint8Array> {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`cop: ${url} answered ${response.status}; expected a packed model`)
  return decodeCop(new Uint8Array(await response.arrayBuffer()))
}
