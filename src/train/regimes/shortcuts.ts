/**
 * Shortcuts around convolutions, by which whole layers go (ResConv, Xu et al. 2020, arXiv:2011.14356).
 *
 * Each convolution that keeps the shape of its input, with its BatchNormalization, becomes γ · conv(x) + α · x with two learnt
 * numbers, and λ · Σ |γ| is added to the loss. After training a convolution whose |γ| is small goes, which leaves α · x; of
 * the others the shortcut is folded into the kernel, so that nothing of it is left in the graph.
 */
import { node } from '../../graph/build.ts'
import { editGraph } from '../../graph/edit.ts'
import { consumersOf, describe } from '../../graph/walk.ts'
import { isOnnxDomain, type Model, type Node, type Tensor, withGraph } from '../../model.ts'
import { foldBatchNorms } from '../../simplify/fold-batch-norm.ts'
import { foldedShortcuts, keepsShape } from '../../simplify/fold-shortcuts.ts'
import { floats, floatTensor } from '../../tensor/dtype.ts'
import type { Regime } from '../regime.ts'
import { l1 } from './penalty.ts'

export interface ShortcutsOptions {
  /** λ: 0 or more. */
  readonly lambda: number
  /**
   * α at the start, 0 to 1, and 1 less it is γ. At 0, the default, a trained network computes what it did; at 1 layers begin as
   * shortcuts alone, with which very deep networks train (Bachlechner et al. 2020, arXiv:2003.04887).
   */
  readonly start?: number
  /** Which convolutions go in the end: those of at most this |γ|; default 0.05. */
  readonly threshold?: number
  /** Or so many of them at the least, those of the smallest |γ|. */
  readonly fewest?: number
}

/** A convolution that a shortcut is put around. */
export interface ShortcutSite {
  readonly conv: Node
  /** The node whose output the shortcut is added to: the convolution, or its BatchNormalization. */
  readonly last: Node
}

/** The convolutions of the main graph that keep the shape of their input and whose weights are stored for them alone. */
export function shortcutSites({ graph }: Model): ShortcutSite[] {
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  return graph.nodes.flatMap((conv) => {
    if (conv.op !== 'Conv' || !isOnnxDomain(conv.domain)) return []
    const [, w, b] = conv.inputs
    const isOwn = (name: string): boolean => graph.initializers.has(name) && consumers.get(name)?.length === 1
    if (!isOwn(w) || (b && !isOwn(b)) || !keepsShape(conv, graph.initializers.get(w) as Tensor)) return []
    const readers = consumers.get(conv.outputs[0]) ?? []
    const isAlone = readers.length === 1 && !outputs.has(conv.outputs[0])
    const isNormed = isAlone && readers[0].op === 'BatchNormalization' && isOnnxDomain(readers[0].domain)
    return [{ conv, last: isNormed ? readers[0] : conv }]
  })
}

/** Throws where an option is out of range, and when it enters where no convolution keeps the shape of its input. */
export function shortcuts({ lambda, start = 0, threshold = 0.05, fewest = 0 }: ShortcutsOptions): Regime {
  if (!(threshold >= 0)) throw new Error(`shortcuts: threshold must be 0 or more, got ${threshold}`)
  if (!(start >= 0 && start <= 1)) throw new Error(`shortcuts: start must be within [0, 1], got ${start}`)
  const penalty = (names: readonly string[]): Regime => l1(lambda, names)
  penalty([])
  return {
    id: 'shortcuts',
    digest: { lambda, start, threshold, fewest },
    async enter(model, setting) {
      const sites = shortcutSites(model)
      if (sites.length === 0)
        throw new Error(
          'shortcuts: no convolution keeps the shape of its input (as many channels, strides of 1, odd kernel, padding that keeps the size); expected one',
        )
      const { entered, gammas } = withShortcuts(model, sites, start)
      const { terms } = await penalty(gammas.map((g) => g.name)).enter(entered, setting)
      return {
        model: entered,
        parameters: gammas.flatMap(({ name, alpha }) => [name, alpha]),
        terms,
        leave: (trained) => leaving(trained, gammas, { threshold, fewest }),
      }
    },
  }
}

interface Gamma {
  readonly name: string
  readonly alpha: string
  /** The value that the shortcut is added to. */
  readonly of: string
}

function withShortcuts(
  model: Model,
  sites: readonly ShortcutSite[],
  start: number,
): { entered: Model; gammas: readonly Gamma[] } {
  const edit = editGraph(model)
  const gammas = sites.map(({ conv, last }) => {
    const [output] = last.outputs
    const stored = (what: string, value: number): string =>
      edit.store(floatTensor(edit.fresh(`${conv.inputs[1]}_${what}`), [1], [value]))
    const [name, alpha] = [stored('gamma', 1 - start), stored('alpha', start)]
    const [of, scaled, kept] = ['layer', 'scaled', 'kept'].map((what) => edit.fresh(`${output}_${what}`))
    edit.replace(last, [
      { ...last, outputs: last.outputs.with(0, of) },
      node('Mul', [of, name], [scaled]),
      node('Mul', [conv.inputs[0], alpha], [kept]),
      node('Add', [scaled, kept], [output]),
    ])
    return { name, alpha, of }
  })
  return { entered: edit.finish(), gammas }
}

/** The trained model without shortcuts, and without the layers that count nothing. */
function leaving(
  trained: Model,
  gammas: readonly Gamma[],
  { threshold, fewest }: { readonly threshold: number; readonly fewest: number },
): Model {
  const { graph } = trained
  const sizes = gammas.map(({ name }) => Math.abs(floats(graph.initializers.get(name) as Tensor)[0]))
  const limit = Math.max(threshold, [...sizes].sort((a, b) => a - b)[Math.min(fewest, sizes.length) - 1] ?? 0)
  const initializers = new Map(graph.initializers)
  for (const [i, { name }] of gammas.entries())
    if (sizes[i] <= limit) initializers.set(name, floatTensor(name, [1], [0]))
  const layers = new Set(gammas.map(({ of }) => of))
  const isFolded = (norm: Node): boolean => layers.has(norm.outputs[0])
  const failed = (norm: Node, why: string): never => {
    throw new Error(`shortcuts: ${describe(norm)} cannot be folded: ${why}`)
  }
  return foldedShortcuts(foldBatchNorms(withGraph(trained, { initializers }), failed, isFolded))
}
