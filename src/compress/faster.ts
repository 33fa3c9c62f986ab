/** The search for speed: an int8 model, with the layers in float that integers make worse or slower. */
import { foldBatchNorm } from '../graph/fold-batch-norm.ts'
import { removeUnused } from '../graph/remove-unused.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { makeFast } from '../quantize/speed.ts'
import type { Step } from '../recipe.ts'
import type { Scorer } from './score.ts'

export async function makeFaster(
  model: Model,
  scorer: Scorer,
  options: Context & {
    readonly maxLoss: number
    readonly latency: (models: readonly Model[]) => Promise<readonly number[]>
  },
): Promise<{
  model: Model
  steps: readonly Step[]
  loss: number
  sensitivity: ReadonlyMap<string, number>
  floatForm: Model
  notes: readonly string[]
}> {
  const { calibration, maxLoss, latency } = options
  if (!calibration) {
    throw new Error('compress: --goal speed needs calibration inputs; expected --data SPEC')
  }
  const folded = await foldBatchNorm(await removeUnused(model))
  const fast = await makeFast(folded, {
    ...options,
    calibration,
    latency,
    maxLoss: scorer.limitOf(maxLoss),
    validate: async (m) => -(await scorer.lossOf(m)),
  })
  const exclude = fast.keptFloat.map((k) => k.node)
  return {
    model: fast.model,
    steps: [
      ['remove-unused', {}],
      ['fold-batch-norm', {}],
      ['int8', { exclude }],
    ],
    loss: -fast.score.after,
    sensitivity: new Map(),
    floatForm: folded,
    notes: [...fast.notes, ...fast.keptFloat.map((k) => `${k.node} stays in float: ${k.why}`)],
  }
}
