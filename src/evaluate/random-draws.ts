/** Models that draw random numbers as they run: whether their outputs are others when other numbers are drawn. */
import { f } from '../graph/build.ts'
import { isRandom } from '../graph/walk.ts'
import { type Model, type Node, withGraph } from '../model.ts'
import { mapGraphs } from '../simplify/fold.ts'
import { drawsRandom } from '../simplify/remarks.ts'
import { type JudgeOptions, openJudge } from '../task/judge.ts'
import type { MaxLoss } from '../task/max-loss.ts'
import type { Task } from '../task/task.ts'
import { verdictOf } from '../task/verdict.ts'

export interface Redraw {
  /** What draws, as `RandomNormalLike "noise"`. */
  readonly drawer: string
  /** How much of the allowed loss the difference is: 1 is all of it. */
  readonly spent: number
}

/**
 * How outputs that are judged differ when other numbers are drawn. Undefined where they do not: the model draws none, or what is
 * drawn does not reach them (times 0, or in a Dropout that runtimes leave out).
 */
export async function redraw(
  model: Model,
  task: Task,
  { max, valuesOnly, ...judging }: Omit<JudgeOptions, 'task'> & { readonly max: MaxLoss; readonly valuesOnly: boolean },
): Promise<Redraw | undefined> {
  const drawer = drawsRandom(model)
  if (!drawer || task.outputs.every((o) => o.kind === 'ignored')) return undefined
  const judge = await openJudge(model, { ...judging, task })
  const judgements = await judge.compare(redrawn(model))
  if (!judgements.some((j) => (j.maxAbsDiff ?? 0) > 0 || (j.changed?.share ?? 0) > 0)) return undefined
  return { drawer, spent: verdictOf(judgements, max, { valuesOnly }).spent }
}

/** The same model that draws other numbers: without seeds, runtimes draw the same in each session. */
function redrawn(model: Model): Model {
  let seed = 1
  const again = (node: Node): Node => {
    const inner = mapGraphs(node, (graph) => ({ ...graph, nodes: graph.nodes.map(again) }))
    if (!isRandom(inner)) return inner
    const own = seed++
    return {
      ...inner,
      attributes: { ...inner.attributes, seed: inner.op === 'Dropout' ? { type: 'int', value: own } : f(own) },
    }
  }
  const functions = model.functions?.map((fn) => ({ ...fn, nodes: fn.nodes.map(again) }))
  return { ...withGraph(model, { nodes: model.graph.nodes.map(again) }), ...(functions ? { functions } : {}) }
}
