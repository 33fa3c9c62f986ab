/**
 * Changing a graph: nodes in place of others, tensors stored under fresh names, what nothing reads left out, and a record of
 * which stored tensor each new one holds the elements of (`Model.origins`), so that a report can pair them.
 *
 * It changes the main graph. What rewrites the graphs inside nodes too makes every graph anew and records origins with
 * `withOrigins`: upgrade.ts, float32-arithmetic.ts, inline-functions.ts and compute-constants.ts of simplify/. So do training
 * graphs (grad/), which are no changed model but another program.
 */
import { firstFreeIr, type Graph, type Model, type Node, type Tensor, withGraph } from '../model.ts'
import { nameSource } from './build.ts'
import { dropUnused } from './drop-unused.ts'

export interface GraphEdit {
  /** A name that the graph does not have; each call gives another. */
  fresh(base: string): string
  /**
   * Stores a tensor under its name, in place of what has it, and gives the name. `from` names the stored tensor whose
   * elements it holds in another form.
   */
  store(tensor: Tensor, from?: string): string
  /** The tensor that is stored under a name by now. */
  stored(name: string): Tensor | undefined
  /** Puts other nodes in place of one; none: it is removed. */
  replace(node: Node, by?: readonly Node[]): void
  /** Changes a node, as earlier changes left it. */
  change(node: Node, edit: (now: Node) => Node): void
  /** The model with all changes, without what no output needs; the model itself where there are none. */
  finish(): Model
  /** The model with other nodes altogether, likewise. */
  finishWith(nodes: readonly Node[]): Model
  /** The model with nodes added at its end, for those who read their results: nothing is left out. */
  extended(added: readonly Node[]): Model
}

/** Collects changes of the main graph; the model itself stays as it is. */
export function editGraph(model: Model): GraphEdit {
  const { graph } = model
  let names: ((base: string) => string) | undefined
  const stored = new Map<string, Tensor>()
  const origins = new Map<string, string>()
  const replaced = new Map<Node, readonly Node[]>()
  const changed = (parts: Partial<Graph>): Model => {
    const isNew = [...stored.keys()].some((name) => !graph.initializers.has(name))
    const initializers = stored.size > 0 ? new Map([...graph.initializers, ...stored]) : graph.initializers
    const result = withOrigins(withGraph(model, { ...parts, initializers }), origins)
    return isNew ? withFreeInitializers(result) : result
  }
  const finishWith = (nodes: readonly Node[]): Model => {
    const result = changed({ nodes })
    return { ...result, graph: dropUnused(result.graph) }
  }
  return {
    fresh(base) {
      names ??= nameSource(graph)
      return names(base)
    },
    store(tensor, from) {
      stored.set(tensor.name, tensor)
      if (from && from !== tensor.name) origins.set(tensor.name, from)
      return tensor.name
    },
    stored: (name) => stored.get(name) ?? graph.initializers.get(name),
    replace(node, by = []) {
      replaced.set(node, by)
    },
    change(node, edit) {
      replaced.set(node, (replaced.get(node) ?? [node]).map(edit))
    },
    finish: () =>
      stored.size === 0 && replaced.size === 0
        ? model
        : finishWith(graph.nodes.flatMap((node) => replaced.get(node) ?? [node])),
    finishWith,
    extended: (added) => changed({ nodes: [...graph.nodes, ...added] }),
  }
}

/** The model with more said of where stored tensors came from. */
export function withOrigins(model: Model, origins: ReadonlyMap<string, string>): Model {
  return origins.size > 0 ? { ...model, origins: new Map([...(model.origins ?? []), ...origins]) } : model
}

/** The names that the elements of a stored tensor have had, its own first, then the one it was made from, and so on. */
export function namesSince({ origins }: Model, name: string): string[] {
  const names = [name]
  for (let from = origins?.get(name); from && !names.includes(from); from = origins?.get(from)) names.push(from)
  return names
}

/** The model in a file format that has initialisers which are no inputs. */
export function withFreeInitializers(model: Model): Model {
  return model.irVersion < firstFreeIr ? { ...model, irVersion: firstFreeIr } : model
}
