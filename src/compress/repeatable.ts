/** What is judged of a model that draws random numbers: what it gives again for the same inputs. */
import { f } from '../graph/build.ts'
import { isRandom } from '../graph/walk.ts'
import { type Model, type Node, withGraph } from '../model.ts'
import { mapGraphs } from '../simplify/fold.ts'
import { randomRemarks } from '../simplify/remarks.ts'
import { type JudgeOptions, openJudge } from '../task/judge.ts'
import { withoutRandom } from '../task/random-values.ts'
import type { Task } from '../task/task.ts'
import { verdictOf } from '../task/verdict.ts'
import type { Settings } from './settings.ts'

/**
 * The task without outputs that differ by more than is allowed when other random numbers are drawn, unless a person said how
 * they are judged. Undefined where that leaves nothing to judge.
 */
export async function repeatable(
  model: Model,
  task: Task,
  { inputs, settings }: { readonly inputs: JudgeOptions['inputs']; readonly settings: Settings },
): Promise<Task | undefined> {
  const { max, signal, data, warn } = settings
  const [remark] = randomRemarks(model)
  if (!remark || !isJudged(task)) return task
  const judge = await openJudge(model, { task, inputs, signal })
  const { spent } = verdictOf(await judge.compare(redrawn(model)), max, { valuesOnly: !data })
  const differs = settings.task === undefined && spent > 1
  warn(`${remark}, and ${differs ? 'those are not judged' : 'the difference counts as loss'}`)
  const judged = differs ? withoutRandom(model, task) : task
  return isJudged(judged) ? judged : undefined
}

/** Why nothing can be judged of a model of which nothing is repeatable. */
export function whyNothingRepeats(model: Model): string {
  return `${randomRemarks(model)[0]}, and nothing that is computed before them tells of its weights`
}

const isJudged = ({ outputs }: Task): boolean => outputs.some((o) => o.kind !== 'ignored')

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
