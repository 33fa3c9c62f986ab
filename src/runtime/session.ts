/**
 * The only file that knows ONNX Runtime: onnxruntime-node in Node, onnxruntime-web in browsers and wherever it is asked for by
 * `node --conditions=onnxruntime-web` (package.json, "#ort"). `run` in Node computes on the calling thread and blocks it.
 */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common'
import { UnsupportedError } from '../errors.ts'
import { onnxOf } from '../formats/unpack.ts'
import type { Feeds, Value } from '../method.ts'
import type { Model } from '../model.ts'
import { type WrittenApart, writeModel, writeModelApart } from '../onnx/write.ts'
import { plain, whyRefused } from './why-refused.ts'

export type { Feeds, Value } from '../method.ts'

export interface SessionOptions {
  /** Threads inside an operator; default: what `useThreads` said last, else ONNX Runtime's own choice. */
  readonly threads?: number
  /** Graph optimisation; default `all`. */
  readonly optimize?: 'disabled' | 'basic' | 'extended' | 'all'
  /** Threads rest between calls instead of spinning, so that several open sessions do not slow each other down. */
  readonly restful?: boolean
  /** Names the model in errors. */
  readonly name?: string
}

export interface Session {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  /** Computes the named outputs (by default all that are tensors). `fetches` may hold arrays to write an output into. */
  run(feeds: Feeds, outputs?: readonly string[]): Promise<Record<string, Value>>
  release(): Promise<void>
}

type Ort = typeof import('onnxruntime-common')
let loaded: Promise<Ort> | undefined

/** ONNX Runtime's module, loaded once. */
export async function loadOrt(): Promise<Ort> {
  loaded ??= import('#ort').then((m: Ort & { default?: Ort }) => (m.InferenceSession ? m : (m.default as Ort)))
  try {
    const ort = await loaded
    // WebAssembly has one number for all sessions, which it looks at with the first.
    if (usualThreads && !isNative(ort)) ort.env.wasm.numThreads = usualThreads
    return ort
  } catch (cause) {
    loaded = undefined
    throw new Error(
      'onnxruntime: it is not installed; install the peer dependency onnxruntime-node (or onnxruntime-web in a page)',
      { cause },
    )
  }
}

/** Whether it is onnxruntime-node, rather than WebAssembly. */
export function isNative({ env }: Ort): boolean {
  return env.versions.node !== undefined
}

let usualThreads: number | undefined

/** Threads of every session that is opened from now on and asks for no number of its own. */
export function useThreads(threads: number | undefined): void {
  usualThreads = threads
}

/** The part of ONNX Runtime's session options that says how many threads there are. */
export function threadOptions(threads = usualThreads): InferenceSession.SessionOptions {
  return threads ? { intraOpNumThreads: threads, interOpNumThreads: 1 } : {}
}

/**
 * Opens a model in ONNX Runtime: a `Model`, the bytes of an ONNX file, or those of a packed one. Throws one sentence where
 * the bytes are damaged or the runtime refuses the model.
 */
export async function openSession(model: Model | Uint8Array, options: SessionOptions = {}): Promise<Session> {
  if ('graph' in model && model.graph.outputs.length === 0)
    throw new UnsupportedError(`${options.name ?? 'model'}: it has no outputs; expected a model with at least one`)
  const ort = await loadOrt()
  const { graph, files } = written(model, ort)
  let session: InferenceSession
  try {
    session = await ort.InferenceSession.create(graph, {
      ...(files.length > 0 ? { externalData: files } : {}),
      executionProviders: isNative(ort) ? ['cpu'] : ['wasm'],
      graphOptimizationLevel: options.optimize ?? 'all',
      logSeverityLevel: 4,
      ...threadOptions(options.threads),
      ...(options.restful ? { extra: { session: { force_spinning_stop: '1' } } } : {}),
    })
  } catch (cause) {
    throw new UnsupportedError(`${options.name ?? 'model'}: ONNX Runtime cannot load it: ${whyRefused(cause)}`, {
      cause,
    })
  }
  // Sequences and maps cannot be handed over; what stands beside them can.
  const tensorNames = session.outputNames.filter((_, i) => session.outputMetadata?.[i]?.isTensor !== false)
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    async run(feeds, outputs = tensorNames) {
      const tensors: Record<string, OrtTensor> = {}
      for (const [name, v] of Object.entries(feeds)) tensors[name] = toOrt(ort, v)
      let results: InferenceSession.ReturnType
      try {
        // What goes wrong is thrown, and need not be on the console as well.
        results = await session.run(tensors, outputs, { logSeverityLevel: 4 })
      } catch (cause) {
        throw new Error(`${options.name ?? 'model'}: ONNX Runtime failed to run it: ${plain(cause).slice(0, 300)}`, {
          cause,
        })
      }
      const values: Record<string, Value> = {}
      for (const [name, t] of Object.entries(results))
        values[name] = { dtype: t.type, dims: t.dims, data: t.data as Value['data'] }
      return values
    },
    release: () => session.release(),
  }
}

/** Tensors of so many bytes go to the runtime as they lie: inside of the model's bytes they would be copied twice more. */
const apart = 2 ** 20

/** WebAssembly has one list of files for all sessions, which the opening of one would take from another's. */
function written(model: Model | Uint8Array, ort: Ort): WrittenApart {
  if (model instanceof Uint8Array) return { graph: onnxOf(model), files: [] }
  return isNative(ort) ? writeModelApart(model, apart) : { graph: writeModel(model), files: [] }
}

function toOrt(ort: Ort, value: Value): OrtTensor {
  return new ort.Tensor(value.dtype as 'float32', value.data as Float32Array, value.dims)
}

/** Opens a session for `use`, and releases it whatever happens. */
export async function withSession<T>(open: () => Promise<Session>, use: (session: Session) => Promise<T>): Promise<T> {
  const session = await open()
  try {
    return await use(session)
  } finally {
    await session.release()
  }
}
