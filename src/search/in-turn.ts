/**
 * Several searches, each on the model that the one before it found. This is where what may be lost is shared out: after i of
 * n searches, i/n of it may be spent, so that what one of them leaves is there for those after it.
 */
import type { Model } from '../model.ts'
import type { Step } from '../recipe.ts'
import type { Verdict } from '../task/verdict.ts'
import type { Found, OpenSearch, Search, SearchContext } from './knob.ts'

export interface SearchInTurn {
  readonly sensitivity: ReadonlyMap<string, number>
  /** What the first search tries first. */
  first(): Promise<Model>
  /** `verdictOf` judges a model by a share of what may be lost. */
  find(verdictOf: (model: Model, share: number, tell?: (over: number) => void) => Promise<Verdict>): Promise<Found>
}

/** Opens the first search; the others are opened on what comes before them, again only where that changed. */
export async function openInTurn(
  model: Model,
  searches: readonly [OpenSearch, ...OpenSearch[]],
  { progress, ...context }: SearchContext,
): Promise<SearchInTurn> {
  const count = searches.length
  const opened: { readonly on: Model; readonly search: Search }[] = []
  const open = async (i: number, on: Model): Promise<Search> => {
    if (opened[i]?.on !== on) {
      const within = (done: number, what: string): void => progress?.((i + done) / count, what)
      opened[i] = { on, search: await searches[i](on, { ...context, progress: within }) }
    }
    return opened[i].search
  }
  const first = await open(0, model)
  return {
    get sensitivity() {
      return new Map(opened.flatMap(({ search }) => [...(search.sensitivity ?? [])]))
    },
    first: () => first.first(),
    async find(verdictOf) {
      const found: Found[] = []
      for (let i = 0; i < count; i++) {
        const search = await open(i, found[i - 1]?.model ?? model)
        found.push(await search.find((m, tell) => verdictOf(m, (i + 1) / count, tell)))
      }
      const last = found[count - 1]
      return {
        ...last,
        steps: found.flatMap<Step>((f) => f.steps),
        kept: new Map(found.flatMap((f) => [...f.kept])),
        notes: found.flatMap((f) => f.notes),
      }
    },
  }
}
