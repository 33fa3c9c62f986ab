/**
 * Running a model whose layers change one at a time: the values in front of the changed layer are kept, so that only the part
 * behind it runs.
 */
import { cutBefore, dependentsOf, partBetween } from '../graph/cut.ts'
import type { WeightTensor } from '../graph/weights.ts'
import type { Model, ValueInfo } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { type Feeds, openSession, withSession } from '../runtime/session.ts'
import { bytesOf, type DataType } from '../tensor/dtype.ts'

/** Most bytes of values that are kept; what needs more runs from further in front. */
const mostKept = 2 ** 27

export interface BehindCut {
  /** Keeps the values in front of a weight. Weights in the graph's order cost least. */
  moveTo(weight: WeightTensor): Promise<void>
  /** The outputs, by batch, of a model that differs from the first in that weight alone. */
  outputsOf(changed: Model): Promise<Feeds[]>
}

export function behindCut(model: Model, batches: readonly Feeds[]): BehindCut {
  const types = inferShapes(model).values
  const inputs = new Set(model.graph.inputs.map((i) => i.name))
  /** All that is kept, and what of it does not depend on the changed weight. */
  let kept: { readonly infos: readonly ValueInfo[]; readonly batches: readonly Feeds[] }
  kept = { infos: [], batches: batches.map(() => ({})) }
  let given: readonly ValueInfo[] = []

  async function run(part: Model): Promise<Feeds[]> {
    return withSession(
      () => openSession(part),
      async (session) => {
        const made: Feeds[] = []
        for (const [b, feeds] of batches.entries()) {
          const known: Feeds = { ...feeds, ...kept.batches[b] }
          made.push(await session.run(Object.fromEntries(session.inputNames.map((name) => [name, known[name]]))))
        }
        return made
      },
    )
  }

  return {
    async moveTo({ name: weight, tensor, uses }) {
      given = []
      // Weights inside nested graphs and local functions change with the whole model.
      const { graph } = model
      if (graph.initializers.get(weight) !== tensor || !uses.every(({ node }) => graph.nodes.includes(node))) return
      const dependents = dependentsOf(model, weight)
      const old = new Set(kept.infos.map((v) => v.name))
      const names = cutBefore(model, dependents).filter((name) => !inputs.has(name))
      const fresh = names.filter((name) => !old.has(name))
      if (names.length > 0) {
        const wanted = fresh.map((name): ValueInfo => {
          const dtype = types.get(name)?.dtype
          return { name, ...(dtype ? { dtype } : {}) }
        })
        const made = fresh.length > 0 ? await run(partBetween(model, kept.infos, wanted)) : []
        const next = batches.map((_, b) =>
          Object.fromEntries(names.map((n) => [n, made[b]?.[n] ?? kept.batches[b][n]])),
        )
        const bytes = next.flatMap((feeds) => Object.values(feeds)).reduce((n, v) => n + bytesOf(v.data).byteLength, 0)
        // What no rule tells of a type, the run has told.
        if (bytes <= mostKept)
          kept = { infos: names.map((name) => ({ name, dtype: next[0][name].dtype as DataType })), batches: next }
      }
      // What was kept for an earlier weight may depend on this one (a parallel branch).
      given = kept.infos.filter((v) => !dependents.has(v.name))
    },
    outputsOf: (changed) => run(partBetween(changed, given, changed.graph.outputs)),
  }
}
