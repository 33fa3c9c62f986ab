/** What all factorisations do around their own mathematics: layers found, norms gathered, what is not cheaper left whole and named. */
import { stopIfAborted } from '../errors.ts'
import { editGraph } from '../graph/edit.ts'
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import { type DataNorm, dataNorms } from './_data-norm.ts'
import { chosenOf, type FactorLayer, type Factors, findLayers, type Loss, macsOf, putFactors } from './_layers.ts'
import { isFaster } from './_timed.ts'

export interface LayerOptions {
  readonly only: readonly string[]
  readonly exclude: readonly string[]
  readonly norm: string
  readonly vectors: number
  readonly onlyCheaper: boolean
  readonly measure: boolean
  readonly ranksBy?: string
  readonly rank?: number
}

/** The factors of a layer, with the multiply-adds that they take. */
export interface Planned {
  readonly macs: number
  make(): Promise<Factors | string>
}

/** What ranks are chosen by. */
export interface Given<O> {
  /** Of each group, where the norm is the data's. */
  readonly norms: readonly DataNorm[] | undefined
  readonly options: O
  readonly seed: number
  /** All that are to be factorised. */
  readonly layers: readonly FactorLayer[]
}

export interface Planner<O> {
  /** Whether the method is for layers of this kind; others are not spoken of. */
  isFor(layer: FactorLayer): boolean
  /** Layers of this kind, in words. */
  readonly kind: string
  /** Chooses ranks, or says why the layer stays whole. */
  plan(layer: FactorLayer, given: Given<O>): Promise<Planned | string>
}

/** Layers that keep less than this share of their squared norm are named: few networks work after that without training. */
const littleKept = 0.5

export async function factorizeLayers<O extends LayerOptions>(
  id: string,
  { model, options, context }: { readonly model: Model; readonly options: O; readonly context: Context },
  { isFor, kind, plan }: Planner<NoInfer<O>>,
): Promise<Model> {
  const found = await findLayers(model)
  const layers = chosenOf(id, found, options).filter(isFor)
  const whole = new Map<string, string[]>()
  const little: { readonly name: string; readonly kept: number }[] = []
  const leave = (why: string, name: string): void => void whole.set(why, [...(whole.get(why) ?? []), `"${name}"`])
  for (const [name, why] of found.others) if (!options.exclude.includes(name)) leave(why, name)
  const byData = options.norm === 'data'
  if (byData && !context.data && layers.length > 0)
    context.warn?.(`${id}: no data was given, so the norm of the weights is kept`)
  const norms = byData ? await dataNorms(model, layers, { context, vectors: options.vectors }) : new Map()
  const unseen = byData && context.data ? layers.filter((l) => !norms.has(l.name)).map((l) => `"${l.name}"`) : []
  if (unseen.length > 0)
    context.warn?.(
      `${id}: the norm of the weights is kept for ${listed(unseen)}, whose inputs are not known as vectors of finite numbers`,
    )
  const edit = editGraph(model)
  let replaced = 0
  for (const [i, layer] of layers.entries()) {
    stopIfAborted(context.signal, id)
    context.progress?.(i / layers.length, `factorising ${layer.name}`)
    const given = { norms: norms.get(layer.name), options, seed: context.seed ?? 0, layers }
    const planned = await plan(layer, given)
    if (typeof planned === 'string') {
      leave(planned, layer.name)
      continue
    }
    if (options.onlyCheaper && planned.macs >= macsOf(layer)) {
      leave('the factors would take as many multiply-adds', layer.name)
      continue
    }
    const made = await planned.make()
    if (typeof made === 'string') leave(made, layer.name)
    else if (
      options.measure &&
      !(await isFaster(model, layer, { factors: made, shapes: found.shapes, signal: context.signal }))
    )
      leave('the factors are not measurably faster', layer.name)
    else {
      putFactors(model, edit, layer, made)
      replaced++
      const kept = keptOf(made.losses)
      if (kept < littleKept) little.push({ name: layer.name, kept })
    }
  }
  for (const [why, names] of whole) context.warn?.(`${id}: not factorised, as ${why}: ${listed(names)}`)
  if (replaced === 0)
    context.warn?.(
      `${id}: nothing was changed: ${layers.length === 0 ? `there is no ${kind} that it could replace` : 'every layer stays whole'}`,
    )
  if (little.length > 0) {
    const worstFirst = little.sort((a, b) => a.kept - b.kept).map((l) => `"${l.name}" (${Math.floor(100 * l.kept)} %)`)
    const byRule = options.ranksBy === 'vbmf' && options.rank === undefined
    context.warn?.(
      `${id}: the factors keep less than half of the squared norm of ${listed(worstFirst)}; train afterwards, or keep more${byRule ? ', as a smaller weakening does' : ''}`,
    )
  }
  return edit.finish()
}

/** The share of the squared norm that factors keep, of all groups. */
function keptOf(losses: readonly Loss[]): number {
  const whole = losses.reduce((sum, l) => sum + l.whole, 0)
  return whole > 0 ? 1 - losses.reduce((sum, l) => sum + l.lost, 0) / whole : 1
}

function listed(names: readonly string[]): string {
  return `${names.slice(0, 5).join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`
}
