/** Removing dead units: tensors shrink and outputs stay the same, on networks made at random. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { f, model as makeModel, node, valueInfo } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import { type Graph, type Model, type Node, type Tensor, type ValueInfo, withGraph, withWeights } from '../model.ts'
import { floats, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { type Random, random } from '../tensor/random.ts'
import { randomChannelNet } from '../testing/channel-nets.ts'
import {
  largestDifference,
  modelsFolder,
  needsModels,
  outputsOf,
  randomFeeds,
  realModel,
} from '../testing/real-models.ts'
import { shufflenetV2 } from '../zoo/shufflenet.ts'
import { magnitude } from './magnitude.ts'
import { removeDead } from './remove-dead.ts'

const size = (m: Model) => [...m.graph.initializers.values()].reduce((n, t) => n + sizeOf(t.dims), 0)

/** Zeroes whole output or input slices of some weights, so that units die; sparse elsewhere. */
function kill(model: Model, rng: Random, share: number): Model {
  return withWeights(
    model,
    weightTensors(model).map(({ tensor }) => {
      const inner = sizeOf(tensor.dims.slice(1))
      const kernel = sizeOf(tensor.dims.slice(2))
      const out = Array.from({ length: tensor.dims[0] }, () => rng.next() < share)
      const into = Array.from({ length: tensor.dims[1] }, () => rng.next() < share)
      const values = floats(tensor).map((v, k) =>
        out[Math.floor(k / inner)] || into[Math.floor(k / kernel) % tensor.dims[1]] || rng.next() < 0.2 ? 0 : v,
      )
      return floatTensor(tensor.name, tensor.dims, values)
    }),
  )
}

/** Seeded; an element is 0 where `dead` says so of its index. */
function stored(name: string, dims: number[], dead: (index: number[]) => boolean = () => false): Tensor {
  const rng = random(sizeOf(dims))
  const values = Float32Array.from({ length: sizeOf(dims) }, (_, k) => {
    const value = 0.5 * rng.normal()
    return dead(dims.map((d, a) => Math.floor(k / sizeOf(dims.slice(a + 1))) % d)) ? 0 : value
  })
  return floatTensor(name, dims, values)
}

interface NetOptions {
  readonly tensors?: Tensor[]
  readonly x?: (string | number)[]
  readonly y?: (string | number)[]
  readonly outputs?: ValueInfo[]
  readonly opset?: number
}

/** x, Conv (8 units, unit 5 dead), the given nodes from "h" to "r", Conv, y; all over single places. */
function chain(middle: Node[], { tensors = [], x, y, outputs = [], opset = 17 }: NetOptions = {}): Model {
  const own = [
    stored('w1', [8, 3, 1, 1], ([o]) => o === 5),
    stored('b1', [8]),
    stored('w2', [4, 8, 1, 1]),
    stored('b2', [4]),
  ]
  return makeModel(
    {
      nodes: [node('Conv', ['x', 'w1', 'b1'], ['h']), ...middle, node('Conv', ['r', 'w2', 'b2'], ['y'])],
      initializers: new Map([...own, ...tensors].map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', x ?? ['N', 3, 6, 6])],
      outputs: [valueInfo('y', 'float32', y ?? ['N', 4, 6, 6]), ...outputs],
    },
    opset,
  )
}

/** Removes, checks that ONNX Runtime sees no difference, and gives the result. */
async function shrunk(net: Model, warn?: (message: string) => void): Promise<Model> {
  const small = await removeDead(net, {}, { warn })
  const feeds = randomFeeds(net, { batch: 2 })
  expect(largestDifference(await outputsOf(net, feeds), await outputsOf(small, feeds))).toBeLessThan(1e-5)
  expect(size(small)).toBeLessThanOrEqual(size(net))
  return small
}

const dimsOf = (m: Model, name: string) => m.graph.initializers.get(name)?.dims
const relu = node('Relu', ['h'], ['r'])

describe('remove-dead', () => {
  it('leaves outputs as they were on random pruned nets with normalisation, residuals, concat, split and shuffle', async () => {
    let shrunk = 0
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), fc.constantFrom(0.2, 0.5, 0.8), async (seed, share) => {
        const pruned = kill(randomChannelNet(seed), random(seed + 1), share)
        const small = await removeDead(pruned)
        if (size(small) < 0.9 * size(pruned)) shrunk++
        const feeds = randomFeeds(pruned, { seed, batch: 3 })
        expect(largestDifference(await outputsOf(pruned, feeds), await outputsOf(small, feeds))).toBeLessThan(1e-5)
        expect(await removeDead(small)).toBe(small)
      }),
      { seed: 1, numRuns: 100 },
    )
    expect(shrunk).toBeGreaterThan(90)
  })

  it('really shrinks a chain: a unit without outgoing weights, and one without incoming whose constant is folded', async () => {
    const w1 = Float32Array.from({ length: 12 }, (_, k) => (k >= 3 && k < 6 ? 0 : k + 1)) // unit 1 reads nothing
    const w2 = Float32Array.from({ length: 8 }, (_, k) => (k % 4 === 2 ? 0 : k + 1)) // nothing reads unit 2
    const tensors = [
      floatTensor('w1', [4, 3], w1),
      floatTensor('b1', [4], [0, 2, 0, -1]),
      floatTensor('w2', [2, 4], w2),
      floatTensor('b2', [2], [10, 20]),
    ]
    const net = makeModel({
      nodes: [
        node('Gemm', ['x', 'w1', 'b1'], ['h'], { transB: 1 }),
        node('Relu', ['h'], ['r']),
        node('Gemm', ['r', 'w2', 'b2'], ['y'], { transB: 1 }),
      ],
      initializers: new Map(tensors.map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', ['N', 3])],
      outputs: [valueInfo('y', 'float32', ['N', 2])],
    })
    const { initializers } = (await removeDead(net)).graph
    expect(initializers.get('w1')?.dims).toEqual([2, 3])
    expect(Array.from(floats(initializers.get('w2')!))).toEqual([1, 4, 5, 8])
    expect(Array.from(floats(initializers.get('b2')!))).toEqual([10 + 2 * 2, 20 + 6 * 2])
  })

  it('keeps a constant that a padded convolution reads, since its border would differ', async () => {
    const tensors = [
      floatTensor('w1', [2, 1, 1, 1], [0, 1]),
      floatTensor('b1', [2], [3, 0]),
      floatTensor('w2', [1, 2, 3, 3], new Float32Array(18).fill(1)),
    ]
    const net = makeModel({
      nodes: [node('Conv', ['x', 'w1', 'b1'], ['h']), node('Conv', ['h', 'w2'], ['y'], { pads: [1, 1, 1, 1] })],
      initializers: new Map(tensors.map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', [1, 1, 4, 4])],
      outputs: [valueInfo('y', 'float32', [1, 1, 4, 4])],
    })
    expect(await removeDead(net)).toBe(net)
  })

  it('keeps a constant of which a dilated window that is all padding would see nothing', async () => {
    const weights = floatTensor(
      'w',
      [4, 3, 1, 1],
      Float32Array.from({ length: 12 }, (_, i) => (i < 3 ? 0 : 1 + i)),
    )
    const last = floatTensor(
      'v',
      [2, 4, 1, 1],
      Float32Array.from({ length: 8 }, (_, i) => 1 + i),
    )
    const pool = { kernel_shape: [2, 2], dilations: [3, 3], pads: [1, 1, 1, 1] }
    const model = makeModel({
      nodes: [
        node('Conv', ['x', 'w'], ['a']),
        node('MaxPool', ['a'], ['b'], pool),
        node('Clip', ['b', 'low', 'high'], ['c']),
        node('Conv', ['c', 'v'], ['y']),
      ],
      initializers: new Map(
        [weights, last, floatTensor('low', [], [-9]), floatTensor('high', [], [9])].map((t) => [t.name, t]),
      ),
      inputs: [valueInfo('x', 'float32', [1, 3, 2, 2])],
      outputs: [valueInfo('y', 'float32')],
    })
    const feeds = randomFeeds(model)
    expect(
      largestDifference(await outputsOf(model, feeds), await outputsOf(await removeDead(model), feeds)),
    ).toBeLessThan(1e-5)
  })

  it('cuts a stored tensor that is read where a value is expected: a gate, part of a concatenation, an image', async () => {
    const gated = [node('Sigmoid', ['g'], ['s']), node('Mul', ['h', 's'], ['r'])]
    const small = await shrunk(chain(gated, { tensors: [stored('g', [1, 8, 1, 1])] }))
    expect(dimsOf(small, 'g')).toEqual([1, 7, 1, 1])
    // Channel 5 is the dead unit; 9 is the stored one that nothing reads.
    const unread = stored('w2', [4, 10, 1, 1], ([_, i]) => i === 9)
    const joined = chain([node('Concat', ['h', 'k'], ['r'], { axis: 1 })], {
      tensors: [unread, stored('k', [1, 2, 6, 6])],
      x: [1, 3, 6, 6],
      y: [1, 4, 6, 6],
    })
    const less = await shrunk(joined)
    expect([dimsOf(less, 'w2'), dimsOf(less, 'k')]).toEqual([
      [4, 8, 1, 1],
      [1, 1, 6, 6],
    ])
    const image = chain([node('Conv', ['k', 'wk'], ['c']), node('Add', ['h', 'c'], ['r'])], {
      tensors: [stored('k', [1, 8, 6, 6]), stored('wk', [8, 8, 1, 1], ([o, i]) => o === 5 || i === 2)],
    })
    const smaller = await shrunk(image)
    expect([dimsOf(smaller, 'k'), dimsOf(smaller, 'wk')]).toEqual([
      [1, 7, 6, 6],
      [7, 7, 1, 1],
    ])
  })

  it('keeps a tensor whole that is an output of the graph or read in a nested graph', async () => {
    const seen = await shrunk(chain([relu], { outputs: [valueInfo('b2', 'float32', [4])] }))
    expect(dimsOf(seen, 'w1')).toEqual([7, 3, 1, 1])
    const whole = chain([relu], { outputs: [valueInfo('w2', 'float32', [4, 8, 1, 1])] })
    expect(await shrunk(whole)).toBe(whole)
    const branch = (op: string): { type: 'graph'; value: Graph } => ({
      type: 'graph',
      value: {
        name: op,
        nodes: [node(op, ['b2'], [op])],
        initializers: new Map(),
        inputs: [],
        outputs: [valueInfo(op, 'float32', [4])],
      },
    })
    const branches = { then_branch: branch('Identity'), else_branch: branch('Neg') }
    const captured = chain([relu, node('If', ['yes'], ['z'], branches)], {
      tensors: [integerTensor('yes', 'bool', [], [1])],
      outputs: [valueInfo('z', 'float32', [4])],
    })
    expect(dimsOf(await shrunk(captured), 'w1')).toEqual([7, 3, 1, 1])
  })

  it.each([3, 8])(
    'takes initialisers that are listed as inputs for what they store (IR version %i)',
    async (irVersion) => {
      const net = chain([relu], { tensors: [stored('w2', [4, 8, 1, 1], ([_, i]) => i === 2)] })
      const { inputs, initializers } = net.graph
      const listed = [...initializers.values()].map((t) => valueInfo(t.name, t.dtype, t.dims))
      const old = { ...withGraph(net, { inputs: [...inputs, ...listed] }), irVersion }
      const small = await shrunk(old)
      expect([dimsOf(small, 'w1'), dimsOf(small, 'w2')]).toEqual([
        [6, 3, 1, 1],
        [4, 6, 1, 1],
      ])
      expect(small.graph.inputs).toEqual(inputs)
    },
  )

  it('follows channels past view(x.size(0), -1), and past sizes that are asked for elsewhere', async () => {
    const dense = [
      integerTensor('zero', 'int64', [], [0]),
      integerTensor('first', 'int64', [1], [0]),
      integerTensor('rest', 'int64', [1], [-1]),
      stored('fw', [288, 5]),
    ]
    const batch = [node('Shape', ['a'], ['s']), node('Gather', ['s', 'zero'], ['n'], { axis: 0 })]
    const net = (nodes: Node[], outputs: ValueInfo[] = []): Model =>
      makeModel({
        nodes: [node('Conv', ['x', 'w1', 'b1'], ['h']), node('Relu', ['h'], ['a']), ...batch, ...nodes],
        initializers: new Map([...chain([]).graph.initializers.values(), ...dense].map((t) => [t.name, t])),
        inputs: [valueInfo('x', 'float32', ['N', 3, 6, 6])],
        outputs: [valueInfo('y', 'float32', ['N', 5]), ...outputs],
      })
    const flat = net([
      node('Unsqueeze', ['n', 'first'], ['n1']),
      node('Concat', ['n1', 'rest'], ['sizes'], { axis: 0 }),
      node('Reshape', ['a', 'sizes'], ['f']),
      node('MatMul', ['f', 'fw'], ['y']),
    ])
    expect(dimsOf(await shrunk(flat), 'fw')).toEqual([252, 5])
    const asked = net(
      [node('Flatten', ['a'], ['f']), node('MatMul', ['f', 'fw'], ['y']), node('Cast', ['n'], ['count'], { to: 1 })],
      [valueInfo('count', 'float32', [])],
    )
    expect(dimsOf(await shrunk(asked), 'fw')).toEqual([252, 5])
    // Here the number of channels itself is an output.
    const both = withWeights(asked, [integerTensor('zero', 'int64', [2], [0, 1])])
    const counted = withGraph(both, { outputs: [both.graph.outputs[0], valueInfo('count', 'float32', [2])] })
    expect(await shrunk(counted)).toBe(counted)
  })

  it('needs no size of an image, but where it is flattened', async () => {
    const net = chain([relu], { x: ['N', 3, 'H', 'W'], y: ['N', 4, 'H', 'W'] })
    expect(dimsOf(await shrunk(net), 'w1')).toEqual([7, 3, 1, 1])
  })

  it('leaves whole numbers that channels are counted by alone', async () => {
    const drawn = (name: string, dims: number[]) =>
      floatTensor(
        name,
        dims,
        Float32Array.from({ length: sizeOf(dims) }, (_, i) => Math.sin(i + 1)),
      )
    const counts = integerTensor('k', 'int64', [8], [1, 2, 3, 4, 5, 6, 7, 8])
    const whole = makeModel({
      nodes: [
        node('MatMul', ['x', 'w'], ['h']),
        node('Cast', ['h'], ['c'], { to: 7 }),
        node('Add', ['c', 'k'], ['a']),
        node('Cast', ['a'], ['f'], { to: 1 }),
        node('MatMul', ['f', 'v'], ['y']),
      ],
      initializers: new Map([drawn('w', [4, 8]), drawn('v', [8, 3]), counts].map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', ['N', 4])],
      outputs: [valueInfo('y', 'float32', ['N', 3])],
    })
    const feeds = {
      x: { dtype: 'float32' as const, dims: [5, 4], data: Float32Array.from({ length: 20 }, (_, i) => i - 9) },
    }
    const after = await removeDead(whole, {})
    expect(largestDifference(await outputsOf(whole, feeds), await outputsOf(after, feeds))).toBe(0)
  })

  it('says which node holds a dead unit', async () => {
    const told: string[] = []
    const held = chain([node('Softmax', ['h'], ['r'], { axis: 1 }, { name: 'soft' })])
    expect(await shrunk(held, (message) => told.push(message))).toBe(held)
    expect(told).toEqual([
      'remove-dead: some dead channels cannot be removed, as these nodes need them: Softmax "soft" (1)',
    ])
    await shrunk(chain([relu]), (message) => told.push(message))
    expect(told).toHaveLength(1)
  })

  const gelu = { opset: 20 }
  it.each<[string, Parameters<typeof node>[3], NetOptions?]>([
    ['Relu', {}],
    ['LeakyRelu', {}],
    ['LeakyRelu', { alpha: f(0.3) }],
    ['Sigmoid', {}],
    ['Tanh', {}],
    ['Elu', {}],
    ['Elu', { alpha: f(0.5) }],
    ['Softplus', {}],
    ['HardSigmoid', {}],
    ['HardSigmoid', { alpha: f(0.1), beta: f(0.7) }],
    ['HardSwish', {}],
    ['Gelu', {}, gelu],
    ['Gelu', { approximate: 'tanh' }, gelu],
  ])('folds what %s %j makes of a constant into the next bias', async (kind, attributes, options) => {
    for (const bias of [-1.7, 0.4, 3.5]) {
      const tensors = [floatTensor('b1', [8], new Float32Array(8).fill(bias))]
      const small = await shrunk(chain([node(kind, ['h'], ['r'], attributes)], { ...options, tensors }))
      expect(dimsOf(small, 'w2')).toEqual([4, 7, 1, 1])
    }
  })

  it.each(['Add', 'Sub', 'Mul', 'Div', 'PRelu'])('folds %s with one number or one per channel', async (kind) => {
    for (const dims of [[], [1], [8, 1, 1], [1, 8, 1, 1]]) {
      const forward = chain([node(kind, ['h', 'k'], ['r'])], { tensors: [stored('k', dims)] })
      expect(dimsOf(await shrunk(forward), 'w2')).toEqual([4, 7, 1, 1])
      if (kind === 'PRelu') continue
      // 2 + Sigmoid(h) is no divisor near 0.
      const back = [node('Sigmoid', ['h'], ['s']), node('Add', ['s', 'two'], ['t']), node(kind, ['k', 't'], ['r'])]
      const tensors = [stored('k', dims), floatTensor('two', [], [2])]
      expect(dimsOf(await shrunk(chain(back, { tensors })), 'w2')).toEqual([4, 7, 1, 1])
    }
    // A unit that is not the same over the image stays; the slope of a number above 0 does not matter.
    const fine = chain([node(kind, ['h', 'k'], ['r'])], { tensors: [stored('k', [8, 6, 6])] })
    expect(dimsOf(await shrunk(fine), 'k')).toEqual([kind === 'PRelu' ? 7 : 8, 6, 6])
  })

  it('cuts a weight that several nodes read only where all agree, and never stores more than before', async () => {
    const dense = (transB: number, second: string): Model =>
      makeModel({
        nodes: [
          node('Gemm', ['x', 'w', 'c'], ['h'], { transB: 1 }),
          node('Relu', ['h'], ['r']),
          node('Gemm', ['r', second], ['y'], { transB }),
        ],
        initializers: new Map([stored('w', [8, 8], ([o]) => o === 2), stored('c', [8])].map((t) => [t.name, t])),
        inputs: [valueInfo('x', 'float32', ['N', 8])],
        outputs: [valueInfo('y', 'float32', ['N', 8])],
      })
    // Tied weights, W and then its transpose: the unit is a row for both.
    expect(dimsOf(await shrunk(dense(0, 'w')), 'w')).toEqual([7, 8])
    // W twice: the row of one is no column of the other.
    const twice = dense(1, 'w')
    expect(await shrunk(twice)).toBe(twice)
    // The constant would need a bias in both readers of w, more than the column that w loses.
    const pair = ['p', 'q'].map((out) => node('Gemm', ['h', 'w'], [out], { transB: 1 }))
    const grows = makeModel({
      nodes: [node('Gemm', ['x', 'v', 'c'], ['h'], { transB: 1 }), ...pair],
      initializers: new Map(
        [stored('v', [2, 1], ([o]) => o === 1), stored('c', [2]), stored('w', [8, 2])].map((t) => [t.name, t]),
      ),
      inputs: [valueInfo('x', 'float32', ['N', 1])],
      outputs: ['p', 'q'].map((out) => valueInfo(out, 'float32', ['N', 8])),
    })
    expect(await shrunk(grows)).toBe(grows)
    const again = [
      node('Conv', ['h', 'w', 'b1'], ['c']),
      node('Relu', ['c'], ['d']),
      node('Conv', ['d', 'w', 'b1'], ['r']),
    ]
    await shrunk(chain(again, { tensors: [stored('w', [8, 8, 1, 1], ([o, i]) => o === 3 || i === 4)] }))
  })

  it('shrinks ShuffleNetV2 through its shuffles and splits, and puts untouched shuffles back', async () => {
    const net = shufflenetV2({ classes: 5, inputShape: [1, 32, 32], stem: 'cifar', width: 0.5 })
    const pruned = kill(net, random(3), 0.5)
    const small = await removeDead(pruned)
    expect(size(small)).toBeLessThan(0.7 * size(pruned))
    const feeds = randomFeeds(pruned, { batch: 2 })
    expect(largestDifference(await outputsOf(pruned, feeds), await outputsOf(small, feeds))).toBeLessThan(1e-5)
    expect(await removeDead(net)).toBe(net)
  })
})

describe.skipIf(!modelsFolder)(`remove-dead on real models${needsModels}`, () => {
  it.each([
    ['cifar10-resnet20', 0.75],
    ['mlperf-tiny-ic-resnet8', 0.75],
    ['mnist-8', 0.8],
    ['super_resolution', 0.65],
  ])('%s, pruned by filter', async (name, most) => {
    const pruned = await magnitude(realModel(name), { sparsity: 0.4, unit: 'filter' })
    const small = await removeDead(pruned)
    expect(size(small)).toBeLessThan(most * size(pruned))
    const feeds = randomFeeds(pruned, { batch: 1 })
    expect(largestDifference(await outputsOf(pruned, feeds), await outputsOf(small, feeds))).toBeLessThan(1e-5)
  })
})
