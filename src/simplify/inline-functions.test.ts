/** Functions in place of their calls: what comes out computes the same, under names of its own. */
import { describe, expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { FunctionDef, Model } from '../model.ts'
import { outputsOf, randomFeeds } from '../testing/real-models.ts'
import { weightWays } from '../testing/weight-ways.ts'
import { inlined } from './inline-functions.ts'

const withFunctions = Object.entries(weightWays).filter(([name]) => name.includes('local function'))

describe('inlined', () => {
  it.each(withFunctions)('%s: the outputs are bit-equal, and no function is left', async (_, make) => {
    const { model } = make()
    const plain = inlined(model)
    expect(plain.functions).toBeUndefined()
    const feeds = randomFeeds(model)
    expect((await outputsOf(plain, feeds)).y.data).toEqual((await outputsOf(model, feeds)).y.data)
  })

  const calling = (fn: Partial<FunctionDef>): Model => {
    const twice = {
      name: 'F',
      domain: 'local',
      inputs: ['a'],
      outputs: ['o'],
      nodes: [node('Neg', ['a'], ['o'])],
      opsets: [{ domain: '', version: 17 }],
      ...fn,
    }
    const made = makeModel({
      nodes: [
        node('F', ['x'], ['h'], {}, { domain: twice.domain }),
        node('F', ['h'], ['y'], {}, { domain: twice.domain }),
      ],
      initializers: new Map(),
      inputs: [valueInfo('x', 'float32', [3])],
      outputs: [valueInfo('y', 'float32', [3])],
    })
    return { ...made, opsets: [...made.opsets, { domain: twice.domain, version: 1 }], functions: [twice] }
  }

  it('gives what is made inside names of its own, in branches too', async () => {
    const branch = (name: string, op: string) => ({
      type: 'graph' as const,
      value: {
        name,
        nodes: [node(op, ['a'], ['t'])],
        initializers: new Map(),
        inputs: [],
        outputs: [valueInfo('t', 'float32')],
      },
    })
    const model = calling({
      nodes: [
        node('ReduceSum', ['a'], ['s'], { keepdims: 0 }),
        node('Cast', ['s'], ['c'], { to: 9 }),
        node('If', ['c'], ['o'], { then_branch: branch('then', 'Neg'), else_branch: branch('else', 'Exp') }),
      ],
    })
    const feeds = randomFeeds(model)
    const plain = inlined(model)
    expect((await outputsOf(plain, feeds)).y.data).toEqual((await outputsOf(model, feeds)).y.data)
  })

  it.each([
    ['of another operator set', { opsets: [{ domain: '', version: 15 }] }],
    ['that runtimes have kernels for', { domain: 'com.microsoft' }],
  ])('leaves a function %s, and says why', (_, fn) => {
    const model = calling(fn)
    const why: string[] = []
    const after = inlined(model, (_node, reason) => why.push(reason))
    expect(after.graph.nodes).toEqual(model.graph.nodes)
    expect(after.functions).toEqual(model.functions)
    expect(why).toHaveLength(2)
  })
})
