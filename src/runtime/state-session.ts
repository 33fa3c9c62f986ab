/**
 * Runs a step model over and over with its state kept in place: a step reads each vector from one buffer and writes it
 * to another, which the next step reads. Inputs are not copied.
 *
 * onnxruntime-node 1.30 writes outputs into the buffers it is given, but then copies every one of them again (38 million
 * floats: 83 ms instead of 8). This file holds the one way round it: the first output is a sequence, which the binding
 * refuses with a known message after the run and before the copies. Where the message does not come (a fixed binding,
 * onnxruntime-web), the outputs come back as usual, and are copied into the buffers.
 */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common'
import type { Feeds } from '../method.ts'
import type { Model, Node } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { isNative, loadOrt, threadOptions } from './session.ts'

export interface SessionState {
  readonly input: string
  readonly output: string
  readonly size: number
  readonly shape: readonly number[]
  /**
   * The input of another vector of this size that the step has done with by the time that it writes this one: its
   * buffer is written then, which saves one. No two vectors may name the same.
   */
  readonly replaces?: string
}

export interface StateSession {
  /** Runs one step; gives the outputs that are not state. They are overwritten by the next step. */
  run(feeds: Feeds): Promise<Readonly<Record<string, Float32Array>>>
  /** The present contents of a state vector, by its input; to read, or to change between steps. */
  state(input: string): Float32Array
  release(): Promise<void>
}

const stopper = 'stop_before_copies'
/** sequence(tensor(float)) as a TypeProto. */
const sequenceOfFloats = Uint8Array.of(0x22, 6, 0x0a, 4, 0x0a, 2, 0x08, 1)

/** The model with a sequence as its first output. */
function withStopper(model: Model): Model {
  const { graph } = model
  const stop: Node = { op: 'SequenceConstruct', inputs: ['stop_value'], outputs: [stopper], attributes: {} }
  const zero = { name: 'stop_value', dtype: 'float32', dims: [1], data: new Uint8Array(4) } as const
  return {
    ...model,
    graph: {
      ...graph,
      nodes: [...graph.nodes, stop],
      initializers: new Map([...graph.initializers, [zero.name, zero]]),
      outputs: [{ name: stopper, opaqueType: sequenceOfFloats }, ...graph.outputs],
    },
  }
}

export interface StateSessionOptions {
  readonly state: readonly SessionState[]
  readonly threads?: number
}

export async function openStateSession(model: Model, { state, threads }: StateSessionOptions): Promise<StateSession> {
  const ort = await loadOrt()
  const native = isNative(ort)
  const session = await ort.InferenceSession.create(writeModel(native ? withStopper(model) : model), {
    executionProviders: native ? ['cpu'] : ['wasm'],
    graphOptimizationLevel: 'all',
    // One block for everything comes on top of what the first step had allocated: nearly twice the memory.
    enableMemPattern: false,
    logSeverityLevel: 4,
    ...threadOptions(threads),
  })
  const tensor = (data: Float32Array, dims: readonly number[]): OrtTensor => new ort.Tensor('float32', data, dims)
  const replaced = new Set(state.flatMap((s) => s.replaces ?? []))
  const buffers = (of: readonly SessionState[]) =>
    new Map<string, Float32Array>(of.map((s) => [s.input, new Float32Array(s.size)]))
  let now = buffers(state)
  const spare = buffers(state.filter((s) => !s.replaces))
  const stateOutputs = new Set(state.map((s) => s.output))
  const others = model.graph.outputs
    .filter((o) => !stateOutputs.has(o.name))
    .map((o) => {
      const dims = o.shape as number[]
      return { name: o.name, dims, data: new Float32Array(dims.reduce((n, d) => n * d, 1)) }
    })
  const bufferOf = (from: ReadonlyMap<string, Float32Array>, input: string): Float32Array => {
    const found = from.get(input)
    if (!found) throw new Error(`training step: there is no state "${input}"`)
    return found
  }
  return {
    async run(feeds) {
      const inputs: Record<string, OrtTensor> = {}
      for (const [name, v] of Object.entries(feeds))
        inputs[name] = new ort.Tensor(v.dtype as 'float32', v.data as Float32Array, v.dims)
      const fetches: Record<string, OrtTensor | null> = native ? { [stopper]: null } : {}
      // onnxruntime-web gives back buffers that it was given, but does not write into them.
      const into = (data: Float32Array, dims: readonly number[]) => (native ? tensor(data, dims) : null)
      for (const o of others) fetches[o.name] = into(o.data, o.dims)
      const next = new Map<string, Float32Array>()
      for (const s of state) {
        const target = s.replaces ? bufferOf(now, s.replaces) : bufferOf(spare, s.input)
        next.set(s.input, target)
        inputs[s.input] = tensor(bufferOf(now, s.input), s.shape)
        fetches[s.output] = into(target, s.shape)
      }
      const returned = await runOnce(session, inputs, fetches)
      for (const s of state) {
        if (!replaced.has(s.input)) spare.set(s.replaces ?? s.input, bufferOf(now, s.input))
      }
      now = next
      const results: Record<string, Float32Array> = {}
      for (const o of others) results[o.name] = (returned?.[o.name]?.data as Float32Array | undefined) ?? o.data
      if (returned) {
        for (const s of state) {
          const data = returned[s.output].data as Float32Array
          const target = bufferOf(now, s.input)
          if (data !== target) target.set(data)
        }
      }
      return results
    },
    state: (input) => bufferOf(now, input),
    release: () => session.release(),
  }
}

/** The returned outputs; undefined where the binding stopped before it copied them. */
async function runOnce(
  session: InferenceSession,
  inputs: Record<string, OrtTensor>,
  fetches: Record<string, OrtTensor | null>,
): Promise<InferenceSession.ReturnType | undefined> {
  try {
    return await session.run(inputs, fetches)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    if (message.includes('Non tensor type')) return undefined
    throw new Error(`training step: ONNX Runtime failed to run it: ${message.split('\n')[0].slice(0, 300)}`, { cause })
  }
}
