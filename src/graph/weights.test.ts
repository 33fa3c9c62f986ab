/** Which constants are weights, and replacing them wherever they are stored. */
import { describe, expect, it } from 'vitest'
import type { Attribute, Graph, Model } from '../model.ts'
import { floatTensor, integerTensor } from '../tensor/dtype.ts'
import { modelsFolder, needsModels, realModel } from '../testing/real-models.ts'
import { model, node, valueInfo } from './build.ts'
import { replaceTensors, weightTensors } from './weights.ts'

const zeros = (name: string, dims: number[]) =>
  floatTensor(name, dims, new Float32Array(dims.reduce((a, b) => a * b, 1)))
const stored = (...tensors: ReturnType<typeof zeros>[]) => new Map(tensors.map((t) => [t.name, t]))
const listed = (m: Model) =>
  weightTensors(m).map((w) => [w.name, w.outputAxis, w.uses.map((u) => `${u.node.op}.${u.input}`)])

/** An If whose branches both hold a weight named `w` in a Constant node, and read the outer `v`. */
function nested(): Model {
  const branch = (rows: number): Graph => ({
    name: `branch${rows}`,
    nodes: [
      node('Constant', [], ['w'], { value: zeros('', [4, 4]) }),
      node('MatMul', ['x', 'w'], ['p']),
      node('MatMul', ['p', 'v'], [`out${rows}`]),
    ],
    initializers: new Map(),
    inputs: [],
    outputs: [valueInfo(`out${rows}`, 'float32')],
  })
  const graphOf = (g: Graph): Attribute => ({ type: 'graph', value: g })
  return model({
    nodes: [node('If', ['c'], ['y'], { then_branch: graphOf(branch(1)), else_branch: graphOf(branch(2)) })],
    initializers: stored(zeros('v', [4, 2])),
    inputs: [valueInfo('c', 'bool', []), valueInfo('x', 'float32', [3, 4])],
    outputs: [valueInfo('y', 'float32')],
  })
}

describe('weightTensors', () => {
  it('lists what layers multiply with, and the axis of their outputs, and tables that are added; biases and numbers per channel are none', () => {
    const m = model({
      nodes: [
        node('Conv', ['x', 'a', 'bias'], ['1']),
        node('ConvTranspose', ['1', 'b'], ['2']),
        node('Gemm', ['2', 'c'], ['3'], { transB: 1 }),
        node('Gemm', ['3', 'd'], ['4']),
        node('MatMul', ['4', 'e'], ['5']),
        node('MatMul', ['f', '5'], ['6']),
        node('LSTM', ['6', 'g', 'h'], ['7']),
        node('Add', ['7', 'table'], ['8']),
        node('Mul', ['8', 'other'], ['y']),
      ],
      initializers: stored(
        ...(
          [
            ['a', [2, 2, 1, 1]],
            ['b', [2, 3, 1, 1]],
            ['c', [5, 3]],
            ['d', [5, 6]],
            ['e', [6, 7]],
            ['f', [8, 9]],
            ['g', [1, 8, 2]],
            ['h', [1, 8, 2]],
            ['bias', [2]],
            ['table', [3, 3]],
            ['other', [3, 1]],
          ] as [string, number[]][]
        ).map(([n, d]) => zeros(n, d)),
      ),
      inputs: [valueInfo('x', 'float32')],
      outputs: [valueInfo('y', 'float32')],
    })
    expect(listed(m)).toEqual([
      ['a', 0, ['Conv.1']],
      ['b', 1, ['ConvTranspose.1']],
      ['c', 0, ['Gemm.1']],
      ['d', 1, ['Gemm.1']],
      ['e', 1, ['MatMul.1']],
      ['f', 0, ['MatMul.0']],
      ['g', 1, ['LSTM.1']],
      ['h', 1, ['LSTM.2']],
      ['table', undefined, ['Add.1']],
    ])
  })

  it('follows rearranged constants back to what is stored', () => {
    const through = (nodes: ReturnType<typeof node>[], dims: number[], more: ReturnType<typeof zeros>[] = []) =>
      listed(
        model({
          nodes: [...nodes, node('MatMul', ['x', 'r'], ['y'])],
          initializers: stored(zeros('w', dims), ...more),
          inputs: [valueInfo('x', 'float32')],
          outputs: [valueInfo('y', 'float32')],
        }),
      )[0]
    const ints = (values: number[]) => integerTensor('shape', 'int64', [values.length], values)
    expect(through([node('Transpose', ['w'], ['r'])], [7, 4])).toEqual(['w', 0, ['MatMul.1']])
    expect(through([node('Reshape', ['w', 'shape'], ['r'])], [2, 2, 7], [ints([4, 7])])).toEqual(['w', 2, ['MatMul.1']])
    expect(through([node('Reshape', ['w', 'shape'], ['r'])], [4, 1, 7], [ints([7, 4])])).toEqual([
      'w',
      undefined,
      ['MatMul.1'],
    ])
    expect(through([node('Squeeze', ['w', 'shape'], ['r'])], [1, 4, 7], [ints([0])])).toEqual(['w', 2, ['MatMul.1']])
    expect(through([node('Concat', ['w', 'w2'], ['r'], { axis: 0 })], [2, 7], [zeros('w2', [2, 7])])).toEqual([
      'w',
      1,
      ['MatMul.1'],
    ])
  })

  it('gives a shared weight once, without an axis where its layers disagree', () => {
    const m = model({
      nodes: [node('Gemm', ['x', 'w'], ['a'], { transB: 1 }), node('MatMul', ['a', 'w'], ['y'])],
      initializers: stored(zeros('w', [3, 4])),
      inputs: [valueInfo('x', 'float32')],
      outputs: [valueInfo('y', 'float32')],
    })
    expect(listed(m)).toEqual([['w', undefined, ['Gemm.1', 'MatMul.1']]])
  })

  it('goes into nested graphs, whose equal names it tells apart, and sees outer weights from there', () => {
    expect(listed(nested())).toEqual([
      ['w', 1, ['MatMul.1']],
      ['v', 1, ['MatMul.1', 'MatMul.1']],
      ['w#2', 1, ['MatMul.1']],
    ])
  })
})

describe('replaceTensors', () => {
  it('replaces by identity wherever it is stored, keeps names, and shares what it did not touch', () => {
    const before = nested()
    const [first, outer, second] = weightTensors(before)
    const after = replaceTensors(
      before,
      new Map([[first.tensor, floatTensor('any', [4, 4], new Float32Array(16).fill(2))]]),
    )
    const [a, b, c] = weightTensors(after)
    expect(a.tensor.data[3]).toBe(64) // 2.0 = 0x40000000
    expect(a.tensor.name).toBe('')
    expect(b.tensor).toBe(outer.tensor)
    expect(c.tensor).toBe(second.tensor)
    expect(after.graph.initializers).toBe(before.graph.initializers)
    const branches = (m: Model) => m.graph.nodes[0].attributes as Record<string, { value: Graph }>
    expect(branches(after).else_branch).toBe(branches(before).else_branch)
    expect(replaceTensors(before, new Map())).toBe(before)
  })
})

describe.skipIf(!modelsFolder)(`weightTensors on real models${needsModels}`, () => {
  it.each([
    ['cifar10-resnet20', 20, 268_336],
    ['mnist-8', 3, 5_960],
    ['dtln_1', 5, 361_088],
    ['silero_vad', 16, 542_464],
    ['shufflenet-v2-12-int8', 0, 0],
  ])('%s: %i weights of %i elements', (name, count, elements) => {
    const weights = weightTensors(realModel(name))
    expect(weights).toHaveLength(count)
    expect(weights.reduce((n, w) => n + w.tensor.data.length / 4, 0)).toBe(elements)
    expect(new Set(weights.map((w) => w.name)).size).toBe(count)
  })
})
