/** The search for speed: an int8 model, with the layers in float that integers make worse or slower. */
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { makeFast } from '../quantize/speed.ts'
import type { Step } from '../recipe.ts'
import type { SpeedUp } from '../speed-up.ts'
import type { Scorer } from './score.ts'

/** `model` is tidied (tidy.ts): its BatchNormalization folded. */
export async function makeFaster(
  model: Model,
  scorer: Scorer,
  options: Context & {
    readonly maxLoss: number
    readonly compareSpeed: (before: Model, after: Model) => Promise<SpeedUp>
  },
): Promise<{
  model: Model
  steps: readonly Step[]
  loss: number
  sensitivity: ReadonlyMap<string, number>
  kept: ReadonlyMap<string, string>
  otherwise: string
  notes: readonly string[]
}> {
  const { calibration, maxLoss } = options
  if (!calibration) {
    throw new Error('compress: --goal speed needs calibration inputs; expected --data SPEC')
  }
  const fast = await makeFast(model, {
    ...options,
    calibration,
    maxLoss: scorer.limitOf(maxLoss),
    validate: async (m) => -(await scorer.lossOf(m)),
  })
  const exclude = fast.keptFloat.map((k) => k.node)
  return {
    model: fast.model,
    steps: [['int8', { exclude }]],
    loss: -fast.score.after,
    sensitivity: new Map(),
    kept: new Map(fast.keptFloat.map((k) => [k.node, `stays in float: ${k.why}`])),
    otherwise: 'no integer kernel multiplies with it',
    notes: [...fast.notes, ...fast.keptFloat.map((k) => `${k.node} stays in float: ${k.why}`)],
  }
}
