/**
 * The decoder alone, for pages and programs that load packed models: `coppice/runtime`. It brings no runtime along; give the
 * bytes to whichever one is there.
 */
import { fetchBody } from './formats/byte-source.ts'
import { openCop } from './formats/cop-file.ts'
import { type UnpackOptions, unpackOnnx } from './formats/unpack-onnx.ts'

export {
  type ByteSource,
  type CopFile,
  type OpenCopOptions,
  openCop,
  type TensorEntry,
} from './formats/cop-file.ts'
export type { UnpackOptions } from './formats/unpack-onnx.ts'

/** The ONNX file in a packed one. Throws one sentence where the bytes are no packed model or are damaged. */
export function decodeCop(bytes: Uint8Array, options?: UnpackOptions): Uint8Array {
  return unpackOnnx(bytes, options)
}

export interface LoadOptions extends UnpackOptions {
  /** Something like the platform's fetch. */
  readonly fetch?: (url: string) => Promise<Response>
}

/**
 * Fetches a packed model in one request and decodes it while it comes, or decodes the bytes of one. Throws where no answer
 * comes, it is not 200 to 299, or not a packed model.
 */
export async function loadCop(
  from: string | Uint8Array,
  { fetch = globalThis.fetch, ...options }: LoadOptions = {},
): Promise<Uint8Array> {
  return (await openCop(typeof from === 'string' ? await fetchBody(from, fetch) : from, options)).onnx()
}

/** onnxruntime-web, onnxruntime-node, or another module that makes sessions as they do. */
export interface SessionMaker<Session, SessionOptions> {
  readonly InferenceSession: { create(onnx: Uint8Array, options?: SessionOptions): Promise<Session> }
}

/**
 * Gives a session of the runtime for a packed model, from its URL or its bytes:
 * `loadSession(ort, 'net.cop', { executionProviders: ['wasm'] })`.
 */
export async function loadSession<Session, SessionOptions>(
  ort: SessionMaker<Session, SessionOptions>,
  from: string | Uint8Array,
  sessionOptions?: SessionOptions,
  options?: LoadOptions,
): Promise<Session> {
  return ort.InferenceSession.create(await loadCop(from, options), sessionOptions)
}
