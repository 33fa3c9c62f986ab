/**
 * Running a model whose layers change one at a time: the values in front of the changed layer are kept, so that only the part
 * behind it runs.
 */
import { stopIfAborted } from '../errors.ts'
import { cutBefore, dependentsOf, partBetween } from '../graph/cut.ts'
import type { WeightTensor } from '../graph/weights.ts'
import type { Feeds } from '../method.ts'
import type { Model, ValueInfo } from '../model.ts'
import { inferShapes } from '../ops/shape.ts'
import { openSession, withSession } from '../runtime/session.ts'
import { bytesOf, type DataType } from '../tensor/dtype.ts'

/** Batches that can be gone through again and again. */
export interface Batches extends Iterable<Feeds> {
  readonly length: number
}

export interface CutOptions {
  /** Names who runs, in errors. */
  readonly subject: string
  /** Most bytes of values that are kept; what needs more runs from further in front. Default: 128 MiB. */
  readonly mostBytes?: number
  readonly threads?: number
  readonly signal?: AbortSignal
}

export interface BehindCut {
  /** Keeps the values in front of a weight, where they fit. Weights in the graph's order cost least. */
  moveTo(weight: WeightTensor): Promise<void>
  /** Runs a model that differs from the first in that weight alone, and hands over its outputs. */
  run(changed: Model, visit: (outputs: Feeds, batch: number) => void): Promise<void>
}

/** What is kept: names and types of the values, and the values by batch. */
interface Kept {
  readonly infos: readonly ValueInfo[]
  readonly batches: readonly Feeds[]
}

/** Starts from the whole model: nothing is kept before the first `moveTo`. */
export function behindCut(model: Model, batches: Batches, options: CutOptions): BehindCut {
  const { subject, mostBytes = 2 ** 27, threads, signal } = options
  const types = inferShapes(model).values
  const inputs = new Set(model.graph.inputs.map((i) => i.name))
  let kept: Kept = { infos: [], batches: [] }
  /** What of it does not depend on the changed weight. */
  let given: readonly ValueInfo[] = []

  /** Runs a part over all batches, from kept values and, where the part reads them, inputs. `use` gives false to stop. */
  async function overBatches(part: Model, use: (made: Feeds, batch: number) => boolean): Promise<void> {
    await withSession(
      () => openSession(part, { threads, name: subject }),
      async (session) => {
        const fed = session.inputNames.some((name) => inputs.has(name)) ? batches[Symbol.iterator]() : undefined
        for (let b = 0; b < batches.length; b++) {
          stopIfAborted(signal, subject)
          const known: Feeds = { ...fed?.next().value, ...kept.batches[b] }
          const feeds = Object.fromEntries(session.inputNames.map((name) => [name, known[name]]))
          if (!use(await session.run(feeds), b)) return
        }
      },
    )
  }

  /** The named values of all batches; undefined where they do not fit. */
  async function valuesAt(names: readonly string[]): Promise<Kept | undefined> {
    const old = new Set(kept.infos.map((v) => v.name))
    const fresh = names.filter((name) => !old.has(name))
    const next: Feeds[] = []
    let bytes = 0
    const take = (made: Feeds, b: number): boolean => {
      next.push(Object.fromEntries(names.map((name) => [name, made[name] ?? kept.batches[b][name]])))
      for (const { data } of Object.values(next[b])) bytes += bytesOf(data).byteLength
      return (bytes / next.length) * batches.length <= mostBytes
    }
    const part = (): Model =>
      partBetween(
        model,
        kept.infos,
        fresh.map((name) => ({ name, dtype: types.get(name)?.dtype })),
      )
    if (fresh.length > 0) await overBatches(part(), take)
    else for (let b = 0; b < batches.length && take({}, b); b++);
    if (next.length < batches.length || bytes > mostBytes) return undefined
    // What no rule tells of a type (operators of other domains), the run has told.
    return { infos: names.map((name) => ({ name, dtype: next[0]?.[name].dtype as DataType })), batches: next }
  }

  return {
    async moveTo({ tensor, constant, uses }) {
      given = []
      // Weights inside nested graphs and local functions change with the whole model.
      const { nodes, initializers } = model.graph
      const name = constant ? constant.outputs[0] : tensor.name
      const isStoredHere = constant ? nodes.includes(constant) : initializers.get(name) === tensor
      if (!isStoredHere || !uses.every(({ node }) => nodes.includes(node))) return
      const dependents = dependentsOf(model, name)
      const cut = cutBefore(model, dependents).filter((value) => !inputs.has(value))
      kept = (await valuesAt(cut)) ?? kept
      // What was kept for an earlier weight may depend on this one (a parallel branch).
      given = kept.infos.filter((v) => !dependents.has(v.name))
    },
    run: (changed, visit) =>
      overBatches(partBetween(changed, given, model.graph.outputs), (made, b) => {
        visit(made, b)
        return true
      }),
  }
}
