/** Searches in turn, on made-up knobs: what may be lost is shared out, and what one leaves the next may spend. */
import { expect, it } from 'vitest'
import type { Model } from '../model.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { exampleModel } from '../testing/test-method.ts'
import { openInTurn } from './in-turn.ts'
import type { OpenSearch, SearchContext } from './knob.ts'

/** A model that has lost so much, which its first weight says. */
const losing = (model: Model, lost: number): Model => ({
  ...model,
  graph: { ...model.graph, initializers: new Map([['lost', floatTensor('lost', [1], [lost])]]) },
})
const lostBy = (model: Model): number => {
  const lost = model.graph.initializers.get('lost')
  return lost ? floats(lost)[0] : 0
}

/** Loses up to `most` eighths of what is allowed, an eighth at a time. */
function eighths(id: string, most: number, opened: string[]): OpenSearch {
  return async (model) => {
    opened.push(id)
    return {
      id,
      sensitivity: new Map([[id, most]]),
      first: async () => losing(model, lostBy(model) + 1 / 8),
      async find(verdictOf) {
        let n = 0
        while (n < most && (await verdictOf(losing(model, lostBy(model) + (n + 1) / 8))).spent <= 1) n++
        const found = losing(model, lostBy(model) + n / 8)
        return {
          model: found,
          steps: [[id, { n }]],
          verdict: await verdictOf(found),
          kept: new Map([[id, 'turned']]),
          otherwise: id,
          notes: [`${id} ${n}`],
        }
      },
    }
  }
}

const context = {} as SearchContext
const judge =
  (limit: number) =>
  async (model: Model, share: number): Promise<{ spent: number; findings: [] }> => ({
    spent: lostBy(model) / (limit * share),
    findings: [],
  })

it('gives each its part of what may be lost, and the rest to those after it', async () => {
  const opened: string[] = []
  const both = await openInTurn(exampleModel(), [eighths('a', 8, opened), eighths('b', 8, opened)], context)
  expect((await both.find(judge(1))).steps).toEqual([
    ['a', { n: 4 }],
    ['b', { n: 4 }],
  ])
  // The first leaves three quarters of what is allowed.
  const modest = await openInTurn(exampleModel(), [eighths('a', 2, []), eighths('b', 8, [])], context)
  const found = await modest.find(judge(1))
  expect(found.steps).toEqual([
    ['a', { n: 2 }],
    ['b', { n: 6 }],
  ])
  expect(found.verdict.spent).toBe(1)
  expect(found.notes).toEqual(['a 2', 'b 6'])
  expect([...found.kept.keys()]).toEqual(['a', 'b'])
  expect([...modest.sensitivity.keys()]).toEqual(['a', 'b'])
})

it('opens a search again only where the model before it changed', async () => {
  const opened: string[] = []
  const both = await openInTurn(exampleModel(), [eighths('a', 8, opened), eighths('b', 8, opened)], context)
  expect(lostBy(await both.first())).toBe(1 / 8)
  expect(opened).toEqual(['a'])
  await both.find(judge(1))
  await both.find(judge(0.5))
  expect(opened).toEqual(['a', 'b', 'b'])
})

it('tells progress as a whole', async () => {
  const told: number[] = []
  const telling: OpenSearch = async (model, { progress }) => ({
    id: 'telling',
    first: async () => model,
    find: async (verdictOf) => {
      for (const done of [0, 0.5, 1]) progress?.(done, 'searching')
      return { model, steps: [], verdict: await verdictOf(model), kept: new Map(), otherwise: '', notes: [] }
    },
  })
  const both = await openInTurn(exampleModel(), [telling, telling], { ...context, progress: (done) => told.push(done) })
  await both.find(judge(1))
  expect(told).toEqual([0, 0.25, 0.5, 0.5, 0.75, 1])
})
