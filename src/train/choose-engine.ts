/**
 * Which engine this machine trains with: the blocked one where the runtime has its operators and they compute what the
 * plain one computes, else the plain one. Decided once per process, by a small training step done both ways.
 */

import { blockedDomain } from '../grad/blocked/layout.ts'
import { blockedEngine } from '../grad/blocked.ts'
import { type Engine, plainEngine } from '../grad/engine.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Model, Tensor } from '../model.ts'
import { openSession } from '../runtime/session.ts'
import { openStateSession } from '../runtime/state-session.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { sgd } from './optimizers.ts'
import { buildStep } from './step-graph.ts'

export interface EngineChoice {
  readonly engine: Engine
  /** Why it is not the blocked one; absent where it is. */
  readonly reason?: string
}

/** `auto` probes once per process; the others insist. Throws where `blocked` is asked for and fails its self-test. */
export async function chooseEngine(which: 'auto' | 'plain' | 'blocked' = 'auto'): Promise<EngineChoice> {
  if (which === 'plain') return { engine: plainEngine, reason: 'it was asked for' }
  probed ??= probe()
  const choice = await probed
  if (which === 'blocked' && choice.reason) throw new Error(`blocked engine: ${choice.reason}`)
  return choice
}

let probed: Promise<EngineChoice> | undefined

async function probe(): Promise<EngineChoice> {
  try {
    const block = await blockSize()
    const engine = blockedEngine(block)
    const error = await selfTest(engine)
    if (error <= 1e-3) return { engine }
    return {
      engine: plainEngine,
      reason: `its self-test is off by ${error.toExponential(1)} (relative); expected 1e-3 at most`,
    }
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    return { engine: plainEngine, reason: `this runtime does not have its operators: ${message}` }
  }
}

/** Channels per block: what four channels become. */
async function blockSize(): Promise<number> {
  const graph = {
    nodes: [node('ReorderInput', ['x'], ['y'], {}, { domain: blockedDomain })],
    initializers: new Map<string, Tensor>(),
    inputs: [valueInfo('x', 'float32', [1, 4, 1, 1])],
    outputs: [valueInfo('y', 'float32')],
  }
  const base = makeModel(graph)
  const session = await openSession({ ...base, opsets: [...base.opsets, { domain: blockedDomain, version: 1 }] })
  try {
    const { y } = await session.run({ x: { dtype: 'float32', dims: [1, 4, 1, 1], data: new Float32Array(4) } })
    const block = y.dims[1]
    if (block !== 8 && block !== 16) throw new Error(`blocks of ${block} channels; expected 8 or 16`)
    return block
  } finally {
    await session.release()
  }
}

/** The largest difference of any updated weight between the engines after two steps, relative to its largest change. */
export async function selfTest(engine: Engine): Promise<number> {
  const net = probeNet()
  const [plain, other] = [await twoSteps(net, plainEngine), await twoSteps(net, engine)]
  let worst = 0
  for (const [name, values] of plain) {
    const start = floats(net.graph.initializers.get(name) as Tensor)
    const found = other.get(name) as Float32Array
    let difference = 0
    let change = 1e-12
    for (let i = 0; i < values.length; i++) {
      difference = Math.max(difference, Math.abs(values[i] - found[i]))
      change = Math.max(change, Math.abs(values[i] - start[i]))
      if (!Number.isFinite(found[i])) return Number.POSITIVE_INFINITY
    }
    worst = Math.max(worst, difference / change)
  }
  return worst
}

const batch = 18 // neither below a block nor a multiple of it

/**
 * One of each kind of kernel: first, strided, depthwise, pointwise, normalised, with means far beyond the deviations
 * (`far`), residual, pooled, padded channels. A nonlinearity stands between any two normalisations: without one their
 * gradients vanish, and only rounding would be compared.
 */
function probeNet(): Model {
  const rng = random(11)
  const initializers = new Map<string, Tensor>()
  const weight = (name: string, dims: readonly number[], offset = 0): string => {
    const size = sizeOf(dims)
    const bound = Math.sqrt(3 / (sizeOf(dims.slice(1)) || 1))
    const values = Float32Array.from({ length: size }, () => offset + (offset ? 0.2 : bound) * (2 * rng.next() - 1))
    initializers.set(name, floatTensor(name, dims, values))
    return name
  }
  const kernel = (k: number, s = 1) => ({
    kernel_shape: [k, k],
    strides: [s, s],
    pads: Array(4).fill(k >> 1) as number[],
  })
  const norm = (x: string, y: string, c: number) =>
    node(
      'BatchNormalization',
      [x, ...['s', 'b', 'm', 'v'].map((p) => weight(`${y}.${p}`, [c], p === 's' || p === 'v' ? 1 : 0.1))],
      [y],
    )
  const nodes = [
    node('Conv', ['x', weight('first.w', [20, 3, 3, 3]), weight('first.b', [20])], ['c1'], kernel(3)),
    node('Tanh', ['c1'], ['t1']),
    node('MaxPool', ['t1'], ['p1'], { kernel_shape: [2, 2], strides: [2, 2] }),
    node('Conv', ['p1', weight('deep.w', [20, 1, 3, 3])], ['c2'], { ...kernel(3), group: 20 }),
    norm('c2', 'n2', 20),
    node('Tanh', ['n2'], ['t2']),
    node('Conv', ['t2', weight('point.w', [20, 20, 1, 1])], ['c3'], kernel(1)),
    node('Tanh', ['c3'], ['t3']),
    node('Add', ['t3', weight('far', [20, 1, 1], 100)], ['f3']),
    norm('f3', 'n3', 20),
    node('Add', ['n3', 'p1'], ['a3']),
    node('Conv', ['a3', weight('strided.w', [36, 20, 3, 3])], ['c4'], kernel(3, 2)),
    node('Tanh', ['c4'], ['t4']),
    node('GlobalAveragePool', ['t4'], ['g']),
    node('Flatten', ['g'], ['f']),
    node('Gemm', ['f', weight('fc.w', [5, 36]), weight('fc.b', [5])], ['y'], { transB: 1 }),
  ]
  return makeModel({
    nodes,
    initializers,
    inputs: [valueInfo('x', 'float32', [batch, 3, 12, 12])],
    outputs: [valueInfo('y', 'float32', [batch, 5])],
  })
}

async function twoSteps(net: Model, engine: Engine): Promise<Map<string, Float32Array>> {
  const shape = [batch, 3, 12, 12]
  const step = buildStep(net, { inputShapes: { x: shape }, loss: 'cross-entropy', optimizer: sgd(), engine })
  const session = await openStateSession(step.model, { state: step.state, threads: 1 })
  try {
    const vectors = step.state.filter((s) => s.slot === 'weight')
    for (const s of vectors) {
      for (const { parameter, offset } of s.parts)
        session.state(s.input).set(parameter.pack(floats(step.weights.get(parameter.name) as Tensor)), offset)
    }
    const rng = random(5)
    const target = new Float32Array(batch * 5)
    for (let i = 0; i < batch; i++) target[i * 5 + (i % 5)] = 1
    const feeds = {
      x: { dtype: 'float32', dims: shape, data: Float32Array.from({ length: sizeOf(shape) }, () => rng.normal()) },
      [step.target.name]: { dtype: 'float32', dims: [batch, 5], data: target },
      [step.scalarInput('minusRate')]: { dtype: 'float32', dims: [], data: Float32Array.of(-0.1) },
    }
    await session.run(feeds)
    await session.run(feeds)
    return new Map(
      vectors.flatMap((s) =>
        s.parts.map(({ parameter, offset, size }) => {
          const stored = session.state(s.input).subarray(offset, offset + size)
          return [parameter.name, parameter.unpack(stored).slice()] as const
        }),
      ),
    )
  } finally {
    await session.release()
  }
}
