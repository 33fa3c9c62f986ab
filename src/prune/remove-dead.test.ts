import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { f, model as makeModel, node, valueInfo } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import { type Model, type Node, type Tensor, withWeights } from '../model.ts'
import { floats, floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { type Random, random } from '../tensor/random.ts'
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

/** A random network of convolutions, normalisations, residuals, concatenations, shuffles, splits and dense layers. */
function randomNet(seed: number): Model {
  const rng = random(seed)
  const nodes: Node[] = []
  const weights = new Map<string, Tensor>()
  let count = 0
  const draw = (dims: number[], offset = 0): string => {
    const name = `w${count++}`
    const scale = offset ? 0.2 : 1 / Math.sqrt(Math.max(1, sizeOf(dims.slice(1))))
    const values = Float32Array.from({ length: sizeOf(dims) }, () => offset + scale * rng.normal())
    weights.set(name, floatTensor(name, dims, offset ? values.map((v) => Math.abs(v) + 0.1) : values))
    return name
  }
  const ints = (values: number[]): string => {
    const name = `i${count++}`
    weights.set(name, integerTensor(name, 'int64', [values.length], values))
    return name
  }
  const op = (kind: string, inputs: string[], attributes: Parameters<typeof node>[3] = {}, outputs = 1): string[] => {
    const names = Array.from({ length: outputs }, () => `v${count++}`)
    nodes.push(node(kind, inputs, names, attributes))
    return names
  }
  type V = { name: string; c: number; s: number }
  const conv = (x: V, c: number, kernel: number, group = 1): V => {
    const padded = kernel > 1
    const p = padded ? kernel >> 1 : 0
    const inputs = [x.name, draw([c, x.c / group, kernel, kernel])]
    if (rng.next() < 0.5) inputs.push(draw([c]))
    return { name: op('Conv', inputs, { pads: [p, p, p, p], group, kernel_shape: [kernel, kernel] })[0], c, s: x.s }
  }
  const unit = (x: V): V => {
    let name = x.name
    if (rng.next() < 0.2) name = op('Add', [name, draw([1, x.c, 1, 1])])[0]
    if (rng.next() < 0.6)
      name = op('BatchNormalization', [name, draw([x.c], 1), draw([x.c]), draw([x.c]), draw([x.c], 1)])[0]
    const kinds: [string, Parameters<typeof node>[3]][] = [
      ['Relu', {}],
      ['Sigmoid', {}],
      ['LeakyRelu', { alpha: f(0.1) }],
      ['Tanh', {}],
    ]
    if (rng.next() < 0.8) {
      const [kind, attributes] = kinds[rng.below(kinds.length)]
      name = op(kind, [name], attributes)[0]
    }
    return { ...x, name }
  }
  let x: V = { name: 'x', c: 3, s: 6 }
  x = unit(conv(x, 8, 3))
  for (let block = 0; block < 4; block++) {
    const kind = rng.below(6)
    if (kind === 0) x = { ...x, name: op('Add', [unit(conv(unit(conv(x, x.c, 1)), x.c, 3)).name, x.name])[0] }
    else if (kind === 1) {
      const [a, b] = [unit(conv(x, 4, 1)), unit(conv(x, 6, 3))]
      x = { name: op('Concat', [a.name, b.name], { axis: 1 })[0], c: 10, s: x.s }
    } else if (kind === 2) {
      const apart = op('Reshape', [x.name, ints([0, 2, x.c / 2, x.s, x.s])])
      const turned = op('Transpose', apart, { perm: [0, 2, 1, 3, 4] })
      x = { ...x, name: op('Reshape', [turned[0], ints([0, x.c, x.s, x.s])])[0] }
    } else if (kind === 3) {
      const [a, b] = op('Split', [x.name, ints([x.c / 2, x.c / 2])], { axis: 1 }, 2)
      const changed = unit(conv({ name: b, c: x.c / 2, s: x.s }, x.c / 2, 1))
      x = { ...x, name: op('Concat', [a, changed.name], { axis: 1 })[0] }
    } else if (kind === 4) x = unit(conv(x, x.c, 3, x.c))
    else x = unit(conv(x, 8, 1))
  }
  let flat = rng.next() < 0.5 ? op('Flatten', [op('GlobalAveragePool', [x.name])[0]])[0] : op('Flatten', [x.name])[0]
  const features = nodes[nodes.length - 2].op === 'GlobalAveragePool' ? x.c : x.c * x.s * x.s
  flat = op('Relu', op('Gemm', [flat, draw([12, features]), draw([12])], { transB: 1 }))[0]
  const [y] = op('Gemm', [flat, draw([5, 12])], { transB: 1 })
  return makeModel({
    nodes,
    initializers: weights,
    inputs: [valueInfo('x', 'float32', ['N', 3, 6, 6])],
    outputs: [valueInfo(y, 'float32', ['N', 5])],
  })
}

describe('remove-dead', () => {
  it('leaves outputs as they were on random pruned nets with normalisation, residuals, concat, split and shuffle', async () => {
    let shrunk = 0
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), fc.constantFrom(0.2, 0.5, 0.8), async (seed, share) => {
        const pruned = kill(randomNet(seed), random(seed + 1), share)
        const small = await removeDead(pruned)
        if (size(small) < 0.9 * size(pruned)) shrunk++
        const feeds = randomFeeds(pruned, { seed, batch: 3 })
        expect(largestDifference(await outputsOf(pruned, feeds), await outputsOf(small, feeds))).toBeLessThan(1e-5)
        expect(await removeDead(small)).toBe(small)
      }),
      { seed: 1, numRuns: 100 },
    )
    expect(shrunk).toBeGreaterThan(70)
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
  it.each(['cifar10-resnet20', 'mlperf-tiny-ic-resnet8'])('%s, pruned by filter', async (name) => {
    const pruned = await magnitude(realModel(name), { sparsity: 0.4, unit: 'filter' })
    const small = await removeDead(pruned)
    expect(size(small)).toBeLessThan(size(pruned))
    const feeds = randomFeeds(pruned, { batch: 1 })
    const [a, b] = [await outputsOf(pruned, feeds), await outputsOf(small, feeds)]
    const scale = Math.max(1, ...Object.values(a).flatMap((v) => Array.from(v.data as Float32Array, Math.abs)))
    expect(largestDifference(a, b) / scale).toBeLessThan(1e-5)
  })
})
