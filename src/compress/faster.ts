/** The search for speed: an int8 model, with the layers in float that integers make worse or slower. */
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { makeFast } from '../quantize/speed.ts'
import type { SpeedUp } from '../speed-up.ts'
import type { Search } from './small.ts'

/** `model` is tidied (tidy.ts): its BatchNormalization folded. */
export async function openFaster(
  model: Model,
  options: Context & { readonly compareSpeed: (before: Model, after: Model) => Promise<SpeedUp> },
): Promise<Search> {
  const { calibration } = options
  if (!calibration) {
    throw new Error('compress: --goal speed needs calibration inputs; expected --data SPEC')
  }
  return {
    sensitivity: new Map(),
    async find(verdictOf) {
      const fast = await makeFast(model, {
        ...options,
        calibration,
        maxLoss: 1,
        validate: async (m) => -(await verdictOf(m)).spent,
      })
      const exclude = fast.keptFloat.map((k) => k.node)
      return {
        model: fast.model,
        steps: [['int8', { exclude }]],
        verdict: await verdictOf(fast.model),
        kept: new Map(fast.keptFloat.map((k) => [k.node, `stays in float: ${k.why}`])),
        otherwise: 'no integer kernel multiplies with it',
        notes: [...fast.notes, ...fast.keptFloat.map((k) => `${k.node} stays in float: ${k.why}`)],
      }
    },
  }
}
