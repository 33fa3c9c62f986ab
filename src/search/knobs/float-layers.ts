/** For speed: which layers of an int8 model stay in float (fast-int8.ts), on the model as it came, float16 and all. */
import { nodeName } from '../../graph/walk.ts'
import type { Model } from '../../model.ts'
import { float32Arithmetic, inFloat32 } from '../../simplify/float32-arithmetic.ts'
import { unjudgedNodes, whyUnjudged } from '../../task/judged-model.ts'
import type { Verdict } from '../../task/verdict.ts'
import { openFastInt8 } from '../fast-int8.ts'
import type { Search, SearchContext } from '../knob.ts'

/** `model` is tidied: its BatchNormalization folded. */
export async function openFloatLayers(model: Model, context: SearchContext): Promise<Search> {
  const { compareSpeed } = context
  if (!compareSpeed) throw new Error('compress: --goal speed needs calibration inputs; expected --data SPEC')
  // Integer kernels stand beside float32 ones.
  const wide = inFloat32(model)
  const names = new Set(wide.graph.nodes.map(nodeName))
  const excludeNodes = [...unjudgedNodes(wide, context.task)].map(nodeName).filter((name) => names.has(name))
  const opened = await openFastInt8(wide, {
    ...context,
    compareSpeed,
    int8: { excludeNodes },
    whyExcluded: whyUnjudged,
  })
  return {
    id: opened.id,
    first: opened.first,
    async find(verdictOf) {
      const fast = await opened.find(verdictOf)
      const isWidened = wide !== model && fast.model !== wide
      return {
        ...fast,
        model: fast.model === wide ? model : fast.model,
        steps: [...(isWidened ? [[float32Arithmetic.id, {}] as const] : []), ...fast.steps],
        notes: [
          ...(isWidened ? ['what is not on integers computes in float32: processors run float16 through it'] : []),
          ...fast.notes,
          ...inFloat(fast.kept),
          ...allowingAll(fast.allIntegers),
        ],
        kept: new Map([...fast.kept].map(([node, why]) => [node, `stays in float: ${why}`])),
      }
    },
  }
}

/** A sentence for each reason, with the nodes that it holds for. */
function inFloat(kept: ReadonlyMap<string, string>): string[] {
  const nodesOf = new Map<string, string[]>()
  for (const [node, why] of kept) if (why !== whyUnjudged) nodesOf.set(why, [...(nodesOf.get(why) ?? []), node])
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
