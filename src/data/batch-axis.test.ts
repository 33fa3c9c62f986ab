/** The axis that counts samples, of inputs and outputs as exporters write them. */
import { describe, expect, it } from 'vitest'
import { model as makeModel, valueInfo } from '../graph/build.ts'
import type { Dim } from '../model.ts'
import { random } from '../tensor/random.ts'
import { axisOf, batchAxisOf, batchOf, pickSamples } from './batch-axis.ts'
import { batcherFor } from './batcher.ts'
import type { Dataset, Field } from './dataset.ts'

type Shapes = Record<string, readonly Dim[] | undefined>
const infos = (shapes: Shapes) => Object.entries(shapes).map(([name, shape]) => valueInfo(name, 'float32', shape))

/** Inputs, outputs, and the axis of each. */
const cases: [what: string, inputs: Shapes, outputs: Shapes, axes: (number | undefined)[]][] = [
  ['the first', { x: ['N', 3, 8, 8] }, { y: ['N', 10] }, [0, 0]],
  [
    'a named batch',
    { x: ['batch', 16], state: [2, 'batch', 8] },
    { y: ['batch', 10], next: [2, 'batch', 8] },
    [0, 1, 0, 1],
  ],
  ['a shared symbol', { x: ['s0', 's1', 16], h: [2, 's0', 8] }, { y: ['s0', 's1', 4] }, [0, 1, 0]],
  ['time-major, by names', { x: ['time', 'batch_size', 40] }, { y: ['time', 'batch_size', 5] }, [1, 1]],
  ['time-major, T and N', { x: ['T', 'N', 40] }, { y: ['N', 5] }, [1, 0]],
  ['time-major, by the output alone', { x: ['a', 'b', 40] }, { y: ['b', 5] }, [1, 0]],
  [
    'states of fixed size',
    { x: [1, 512], h: [2, 1, 64], c: [2, 1, 64] },
    { y: [1, 1], hn: [2, 1, 64] },
    [0, 1, 1, 0, 1],
  ],
  ['a fixed batch', { x: [4, 16], h: [2, 4, 8] }, { y: [4, 10] }, [0, 1, 0]],
  ['an input fixed later', { x: [8, 1, 28, 28] }, { y: ['N', 10] }, [0, 0]],
  ['sizes without a name', { x: [undefined, 16], h: [2, undefined, 8] }, { y: [undefined, 10] }, [0, 1, 0]],
  [
    'the classes of a batch without a name',
    { x: [undefined, 12] },
    { y: [32, 3], label: [undefined] },
    [0, undefined, 0],
  ],
  ['a scalar beside', { x: ['batch', 512], sr: [] }, { y: ['batch', 1] }, [0, undefined, 0]],
  ['tokens', { ids: ['batch', 'sequence'], mask: ['batch', 'sequence'] }, { y: ['batch', 'sequence', 99] }, [0, 0, 0]],
  [
    'positions that all samples share',
    { ids: ['batch', 'seq'], positions: ['seq'] },
    { y: ['batch', 2] },
    [0, undefined, 0],
  ],
  [
    'a cache',
    { ids: ['batch', 'seq'], past: [2, 'batch', 12, 'past_length', 64] },
    { y: ['batch', 'seq', 99] },
    [0, 1, 0],
  ],
  ['an image without a batch', { x: [3, 'height', 'width'] }, { y: [10] }, [undefined, undefined]],
  ['nothing known', { x: undefined }, { y: undefined }, [0, 0]],
]

describe('the axis of samples', () => {
  it.each(cases)('%s', (_, inputs, outputs, axes) => {
    const model = makeModel({ nodes: [], initializers: new Map(), inputs: infos(inputs), outputs: infos(outputs) })
    expect([...model.graph.inputs, ...model.graph.outputs].map((v) => batchAxisOf(v, model))).toEqual(axes)
  })

  it('samples of a value are picked along any axis', () => {
    const value = { dtype: 'float32', dims: [2, 3, 2], data: Float32Array.from({ length: 12 }, (_, i) => i) }
    expect(pickSamples(value, 1, [2, 0])).toEqual({
      ...value,
      dims: [2, 2, 2],
      data: Float32Array.of(4, 5, 0, 1, 10, 11, 6, 7),
    })
    expect(pickSamples(value, 0, [1]).data).toEqual(value.data.subarray(6))
    expect(pickSamples({ dtype: 'string', dims: [3], data: ['a', 'b', 'c'] }, 0, [2, 2]).data).toEqual(['c', 'c'])
  })
})

describe('batcherFor stacks samples on that axis', () => {
  const length = 5
  const field = (...shape: number[]): Field => {
    const rng = random(shape.length)
    return {
      shape,
      data: Float32Array.from({ length: length * shape.reduce((a, b) => a * b, 1) }, () => rng.next()),
      kind: 'values',
    }
  }
  const indices = [3, 0, 4]

  it.each<[what: string, inputs: Shapes, shapes: Record<string, number[]>, dims: number[]]>([
    ['[layers, batch, hidden]', { x: ['batch', 4], state: [2, 'batch', 3] }, { x: [4], state: [2, 3] }, [2, 3, 3]],
    [
      'stored with a batch of one each',
      { x: ['batch', 4], state: [2, 'batch', 3] },
      { x: [4], state: [2, 1, 3] },
      [2, 3, 3],
    ],
    ['time-major', { state: ['T', 'batch', 4] }, { state: [6, 4] }, [6, 3, 4]],
    ['the last axis', { x: [4, 'batch'], state: [7, 2, 'batch'] }, { x: [4], state: [7, 2] }, [7, 2, 3]],
  ])('%s', (_, inputs, shapes, dims) => {
    const fields = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, field(...shape)]))
    const set: Dataset = { id: 's', length, fields }
    const made = batcherFor(infos(inputs), set, { range: [0, 1], layout: 'NCHW' })(set, indices).state
    expect(made.dims).toEqual(dims)
    const state = infos(inputs).find((i) => i.name === 'state')!
    const axis = axisOf(state, batchOf(infos(inputs), []))!
    const size = fields.state.data.length / length
    indices.forEach((index, i) => {
      const sample = fields.state.data.subarray(index * size, (index + 1) * size)
      expect(pickSamples(made, axis, [i]).data).toEqual(sample)
    })
  })

  it('a model of one sample per call gets its whole states', () => {
    const inputs = infos({ x: [1, 4], h: [2, 1, 3] })
    const set: Dataset = { id: 's', length, fields: { x: field(4), h: field(2, 1, 3) } }
    const bound = batcherFor(inputs, set, { range: [0, 1], layout: 'NCHW' })
    expect(bound.batchSize).toBe(1)
    expect(bound(set, [2]).h).toMatchObject({ dims: [2, 1, 3], data: set.fields.h.data.subarray(12, 18) })
  })

  it('halves, strings and whole numbers are stored as the model takes them, or refused', () => {
    const set: Dataset = {
      id: 's',
      length: 2,
      fields: {
        half: { shape: [2], data: Float32Array.of(1, -2, 65504, 2 ** -24), kind: 'values' },
        text: { shape: [2], data: new Uint8Array(0), strings: ['a', 'bc', '', 'ü'], kind: 'values' },
        whole: { shape: [], data: Float64Array.of(2 ** 40, -1), kind: 'values' },
      },
    }
    const plain = { range: [0, 1], layout: 'NCHW' } as const
    const typed = (dtypes: Record<string, Parameters<typeof valueInfo>[1]>) =>
      Object.entries(dtypes).map(([name, dtype]) => valueInfo(name, dtype, name === 'whole' ? ['N'] : ['N', 2]))
    const feeds = batcherFor(typed({ half: 'float16', text: 'string', whole: 'int64' }), set, plain)(set, [1, 0])
    expect(feeds.half.data).toEqual(Uint16Array.of(0x7bff, 1, 0x3c00, 0xc000))
    expect(feeds.text).toEqual({ dtype: 'string', dims: [2, 2], data: ['', 'ü', 'a', 'bc'] })
    expect(feeds.whole.data).toEqual(BigInt64Array.of(-1n, 2n ** 40n))
    const fails = (dtypes: Parameters<typeof typed>[0]) => () => batcherFor(typed(dtypes), set, plain)(set, [1])
    expect(fails({ text: 'float32' })).toThrow('s: "text" holds strings; the model\'s input "text" takes float32')
    expect(fails({ half: 'string' })).toThrow('s: "half" holds numbers; the model\'s input "half" takes strings')
    expect(fails({ whole: 'uint64' })).toThrow('s: "whole" holds -1; the model\'s input "whole" takes uint64')
    expect(fails({ whole: 'uint8' })).toThrow('s: "whole" holds -1; the model\'s input "whole" takes uint8')
    expect(fails({ half: 'bfloat16' })).toThrow('takes bfloat16, which ONNX Runtime cannot be fed')
  })
})
