/** What nothing reads is dropped, nested graphs counted as readers. */
import { describe, expect, it } from 'vitest'
import { floatTensor } from '../tensor/dtype.ts'
import { model, node, valueInfo } from './build.ts'
import { dropUnused } from './drop-unused.ts'

const t = (name: string) => floatTensor(name, [1], [1])

describe('dropUnused', () => {
  it('keeps what an output needs, through nested graphs, and drops the rest with the inputs that listed it', () => {
    const inner = {
      name: 'inner',
      nodes: [node('Add', ['x', 'captured'], ['inside'])],
      initializers: new Map(),
      inputs: [],
      outputs: [valueInfo('inside', 'float32')],
    }
    const { graph } = model({
      nodes: [
        node('Neg', ['a'], ['captured']),
        node('Neg', ['b'], ['unread']),
        node('Neg', ['unread'], ['unread too']),
        node('If', ['c'], ['y'], {
          then_branch: { type: 'graph', value: inner },
          else_branch: { type: 'graph', value: inner },
        }),
      ],
      initializers: new Map(['a', 'b'].map((n) => [n, t(n)])),
      inputs: [valueInfo('x', 'float32'), valueInfo('c', 'bool'), valueInfo('a', 'float32'), valueInfo('b', 'float32')],
      outputs: [valueInfo('y', 'float32')],
      valueInfo: [valueInfo('captured', 'float32'), valueInfo('unread', 'float32')],
    })
    const kept = dropUnused(graph)
    expect(kept.nodes.map((n) => n.outputs[0])).toEqual(['captured', 'y'])
    expect([...kept.initializers.keys()]).toEqual(['a'])
    expect(kept.inputs.map((i) => i.name)).toEqual(['x', 'c', 'a'])
    expect(kept.valueInfo?.map((v) => v.name)).toEqual(['captured'])
  })

  it('keeps an input that nothing reads: a caller gives it', () => {
    const { graph } = model({
      nodes: [node('Neg', ['x'], ['y'])],
      initializers: new Map(),
      inputs: [valueInfo('x', 'float32'), valueInfo('z', 'float32')],
      outputs: [valueInfo('y', 'float32')],
    })
    expect(dropUnused(graph).inputs.map((i) => i.name)).toEqual(['x', 'z'])
  })
})
