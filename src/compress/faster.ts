/** The search for speed: an int8 model, with the layers in float that integers make worse or slower. */

import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { type KeptFloat, makeFast } from '../quantize/speed.ts'
import { float32Arithmetic, inFloat32 } from '../simplify/float32-arithmetic.ts'
import type { SpeedUp } from '../speed-up.ts'
import type { Verdict } from '../task/verdict.ts'
import type { Search } from './small.ts'

/** `model` is tidied (tidy.ts): its BatchNormalization folded. */
export async function openFaster(
  model: Model,
  options: Context & { readonly compareSpeed: (before: Model, after: Model) => Promise<SpeedUp> },
): Promise<Search> {
  const { data } = options
  if (!data) throw new Error('compress: --goal speed needs calibration inputs; expected --data SPEC')
  // Integer kernels stand beside float32 ones.
  const wide = inFloat32(model)
  return {
    sensitivity: new Map(),
    async find(verdictOf) {
      const verdicts = new Map<number, Verdict>()
      const fast = await makeFast(wide, {
        ...options,
        data,
        maxLoss: 1,
        validate: async (m) => {
          const verdict = await verdictOf(m)
          verdicts.set(-verdict.spent, verdict)
          return -verdict.spent
        },
      })
      const excludeNodes = fast.keptFloat.map((k) => k.node)
      const isWidened = wide !== model && fast.model !== wide
      const result = fast.model === wide ? model : fast.model
      return {
        model: result,
        steps: [...(isWidened ? [[float32Arithmetic.id, {}] as const] : []), ['int8', { excludeNodes }]],
        verdict: await verdictOf(result),
        kept: new Map(fast.keptFloat.map((k) => [k.node, `stays in float: ${k.why}`])),
        otherwise: 'no integer kernel multiplies with it',
        notes: [
          ...(isWidened ? ['what is not on integers computes in float32: processors run float16 through it'] : []),
          ...fast.notes,
          ...inFloat(fast.keptFloat),
          ...allowingAll(verdicts.get(fast.allIntegers ?? Number.NaN)),
        ],
      }
    },
  }
}

/** A sentence for each reason, with the nodes that it holds for. */
function inFloat(kept: readonly KeptFloat[]): string[] {
  const nodesOf = new Map<string, string[]>()
  for (const { node, why } of kept) nodesOf.set(why, [...(nodesOf.get(why) ?? []), node])
  return [...nodesOf].map(([why, nodes]) => {
    const shown = nodes.slice(0, 5).join(', ')
    const more = nodes.length > 5 ? ` and ${nodes.length - 5} more` : ''
    return `in float ${nodes.length > 1 ? 'stay' : 'stays'} ${shown}${more} (${why})`
  })
}

/** What to allow for every layer to compute on integers, where that broke the limit. */
function allowingAll(verdict: Verdict | undefined): string[] {
  const { worst } = verdict ?? {}
  if (!worst || !Number.isFinite(worst.spent) || worst.spent <= 1) return []
  // Noise is spent in amplitude; points as they are. Rounded to what surely allows it.
  const least = Math.floor(-worst.limit - 20 * Math.log10(worst.spent))
  const points = Math.ceil(10 * worst.limit * worst.spent) / 10
  const enough =
    worst.unit === 'dB of noise' ? (least > 0 ? `${least}dB` : undefined) : points < 100 ? `${points}` : undefined
  return enough === undefined
    ? []
    : [`--max-loss ${enough} would let every layer compute on integers, were they all as fast`]
}
