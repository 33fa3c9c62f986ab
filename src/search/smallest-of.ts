/** Several searches, each on the same model: what is smallest once packed is taken, of what holds. */
import { packedSizeOn } from '../formats/pack.ts'
import type { Found, OpenSearch, Search } from './knob.ts'

export function smallestOf(searches: readonly [OpenSearch, ...OpenSearch[]]): OpenSearch {
  return async (model, { progress, ...context }) => {
    const { workers } = context
    const opened: Search[] = []
    for (const [i, open] of searches.entries()) {
      const within = (done: number, what: string): void => progress?.((i + done) / searches.length, what)
      opened.push(await open(model, { ...context, progress: within }))
    }
    return {
      id: opened.map((s) => s.id).join(' or '),
      get sensitivity() {
        return new Map(opened.flatMap((s) => [...(s.sensitivity ?? [])]))
      },
      first: () => opened[0].first(),
      async find(verdictOf) {
        let best: { readonly found: Found; readonly bytes: number } | undefined
        for (const search of opened) {
          const found = await search.find(verdictOf)
          const bytes = await packedSizeOn(found.model, { mode: 'fast', workers })
          const holds = found.verdict.spent <= 1
          if (!best || (holds && (bytes < best.bytes || best.found.verdict.spent > 1))) best = { found, bytes }
        }
        return (best as NonNullable<typeof best>).found
      },
    }
  }
}
