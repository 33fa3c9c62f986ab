/** The gradients that an engine's training step computes: what SGD's momentum holds after one step from zero. */
import type { Engine } from '../grad/engine.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { openStateSession } from '../runtime/state-session.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'
import type { LossName } from '../train/losses.ts'
import { sgd } from '../train/optimizers.ts'
import { buildStep, type StepGraph } from '../train/step-graph.ts'

export interface StepGradientOptions {
  readonly engine: Engine
  readonly loss: LossName
  /** The model's inputs. */
  readonly inputs: Feeds
  /** What the loss compares with, of the output's shape. */
  readonly target: (shape: readonly number[]) => Float32Array
  /** A factor for each element that Dropout lets through; default 1. */
  readonly mask?: (index: number, size: number) => Float32Array
}

export interface StepGradients {
  readonly loss: number
  readonly gradients: ReadonlyMap<string, Float32Array>
  readonly step: StepGraph
}

export async function stepGradients(model: Model, options: StepGradientOptions): Promise<StepGradients> {
  const { engine, loss, inputs, target, mask = (_, size) => new Float32Array(size).fill(1) } = options
  const inputShapes = Object.fromEntries(Object.entries(inputs).map(([name, v]) => [name, v.dims]))
  const step = buildStep(model, { inputShapes, loss, optimizer: sgd(), engine })
  const session = await openStateSession(step.model, { state: step.state, threads: 1 })
  const parts = (slot: string) =>
    step.state
      .filter((s) => s.slot === slot)
      .flatMap((s) => s.parts.map((part) => ({ ...part, stored: () => session.state(s.input).subarray(part.offset) })))
  try {
    for (const { parameter, stored } of parts('weight'))
      stored().set(parameter.pack(floats(step.weights.get(parameter.name)!)))
    const shape = step.target.shape as number[]
    const masks = step.noise.map(({ input, shape: dims }, i) => [
      input,
      { dtype: 'float32', dims, data: mask(i, sizeOf(dims)) },
    ])
    const results = await session.run({
      ...inputs,
      ...Object.fromEntries(masks),
      [step.target.name]: { dtype: 'float32', dims: shape, data: target(shape) },
      [step.scalarInput('minusRate')]: { dtype: 'float32', dims: [], data: Float32Array.of(-0.1) },
    })
    const gradients = new Map(
      parts('momentum').map(({ parameter, size, stored }) => [
        parameter.name,
        parameter.unpack(stored().subarray(0, size)).slice(),
      ]),
    )
    return { loss: results[step.lossOutput][0], gradients, step }
  } finally {
    await session.release()
  }
}
