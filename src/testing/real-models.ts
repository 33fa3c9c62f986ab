/** Where tests find real models and data: folders named by environment variables, so that nothing big is committed. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Feeds, Value } from '../method.ts'
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { openSession } from '../runtime/session.ts'
import { random } from '../tensor/random.ts'

/** Folder of .onnx files, or undefined; tests over them say `skipIf(!modelsFolder)`. */
export const modelsFolder = process.env.COPPICE_MODELS
/** What the name of a skipped suite ends with. */
export const needsModels = modelsFolder ? '' : ' (skipped: COPPICE_MODELS is not set)'

export function realModel(name: string): Model {
  return readModel(readFileSync(join(modelsFolder ?? '', `${name}.onnx`)))
}

/** Normal random inputs for a model; symbols count as `batch`. */
export function randomFeeds(model: Model, options: { seed?: number; batch?: number; scale?: number } = {}): Feeds {
  const { seed = 1, batch = 2, scale = 1 } = options
  const rng = random(seed)
  const feeds: Record<string, Value> = {}
  for (const { name, dtype, shape } of model.graph.inputs) {
    if (model.graph.initializers.has(name)) continue
    if (dtype !== 'float32' || !shape) throw new Error(`test: input "${name}" is no float tensor of known rank`)
    const dims = shape.map((d) => (typeof d === 'number' ? d : batch))
    const size = dims.reduce((a, b) => a * b, 1)
    feeds[name] = { dtype, dims, data: Float32Array.from({ length: size }, () => scale * rng.normal()) }
  }
  return feeds
}

/** What ONNX Runtime computes. */
export async function outputsOf(model: Model, feeds: Feeds): Promise<Record<string, Value>> {
  const session = await openSession(model, { threads: 1 })
  try {
    return await session.run(feeds)
  } finally {
    await session.release()
  }
}

/** The largest difference of two runs' float outputs, relative to the largest magnitude of each output. */
export function largestDifference(a: Record<string, Value>, b: Record<string, Value>): number {
  let worst = 0
  for (const [name, value] of Object.entries(a)) {
    const x = value.data as Float32Array
    const y = b[name].data as Float32Array
    if (x.length !== y.length) return Number.POSITIVE_INFINITY
    let scale = 0
    for (const v of x) scale = Math.max(scale, Math.abs(v))
    let difference = 0
    for (let i = 0; i < x.length; i++) {
      if (!Number.isFinite(x[i] - y[i])) return Number.POSITIVE_INFINITY
      difference = Math.max(difference, Math.abs(x[i] - y[i]))
    }
    worst = Math.max(worst, difference / (scale || 1))
  }
  return worst
}
