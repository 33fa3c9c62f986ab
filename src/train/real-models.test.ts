/** Steps on real models of many operator sets (COPPICE_MODELS names their folder): both engines go downhill alike. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { requiredInputs } from '../data/batcher.ts'
import { type Engine, plainEngine } from '../grad/engine.ts'
import type { Model } from '../model.ts'
import { openModel } from '../node/files.ts'
import { openStateSession } from '../runtime/state-session.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { chooseEngine } from './choose-engine.ts'
import { sgd } from './optimizers.ts'
import { buildStep } from './step-graph.ts'
import { createTrainState } from './train-state.ts'

const folder = process.env.COPPICE_MODELS
const ids = [
  'mnist-8',
  'cifar10-resnet20',
  'mlperf-tiny-ic-resnet8',
  'mlperf-tiny-kws-dscnn',
  'super_resolution',
  'FastestDet',
  'ultraface-RFB-320',
]

/** The losses of three small steps towards zero outputs. */
async function threeSteps(model: Model, engine: Engine): Promise<number[]> {
  const inputShapes = Object.fromEntries(
    requiredInputs(model).map((i) => [i.name, (i.shape ?? []).map((d) => (typeof d === 'number' && d > 0 ? d : 1))]),
  )
  const optimizer = sgd({ momentum: 0 })
  const step = buildStep(model, { inputShapes, loss: 'mse', optimizer, engine, frozenStatistics: true })
  const session = await openStateSession(step.model, { state: step.state, threads: 1 })
  try {
    createTrainState(model, step, session, undefined)
    const values = (dims: readonly number[], f: (i: number) => number) => ({
      dtype: 'float32',
      dims,
      data: Float32Array.from({ length: sizeOf(dims) }, (_, i) => f(i)),
    })
    const feeds = {
      ...Object.fromEntries(
        Object.entries(inputShapes).map(([name, dims]) => [name, values(dims, (i) => Math.sin(i * 0.37))]),
      ),
      [step.target.name]: values(step.target.shape as number[], () => 0),
      [step.scalarInput('minusRate')]: values([], () => -1e-4),
    }
    const losses: number[] = []
    for (let i = 0; i < 3; i++) losses.push((await session.run(feeds))[step.lossOutput][0])
    return losses
  } finally {
    await session.release()
  }
}

describe.skipIf(!folder)('real models (skipped where COPPICE_MODELS is not set)', () => {
  for (const id of ids) {
    it(id, async () => {
      const model = openModel(join(folder as string, `${id}.onnx`))
      const { engine } = await chooseEngine()
      const [plain, fast] = [await threeSteps(model, plainEngine), await threeSteps(model, engine)]
      expect(plain[2]).toBeLessThan(plain[0])
      plain.forEach((loss, i) => {
        expect(Math.abs(loss - fast[i])).toBeLessThan(1e-3 * plain[0])
      })
    })
  }
})
