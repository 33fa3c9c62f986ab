/** Factorised layers beside whole ones in ONNX Runtime: all attributes, exact at full rank, better in the data's norm. */
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { findRandomInputs } from '../evaluate/random-inputs.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import type { Context, Feeds, Method } from '../method.ts'
import type { Model, Node, Tensor } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { openSession } from '../runtime/session.ts'
import { floatTensor, sizeOf, tensorOfFloats } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import {
  largestDifference,
  modelsFolder,
  needsModels,
  outputsOf,
  randomFeeds,
  realModel,
} from '../testing/real-models.ts'
import { cp } from './cp.ts'
import { filterGroups } from './filter-groups.ts'
import { spatialSvd } from './spatial-svd.ts'
import { svd } from './svd.ts'
import { tucker } from './tucker.ts'

type Attributes = Parameters<typeof node>[3]

const rng = random(11)
const draw = (name: string, dims: readonly number[]): Tensor =>
  floatTensor(
    name,
    dims,
    Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()),
  )

/** A kernel of `rank` components. */
function ofComponents(name: string, dims: readonly number[], rank: number): Tensor {
  const values = new Float32Array(sizeOf(dims))
  const places = sizeOf(dims.slice(2))
  for (let r = 0; r < rank; r++) {
    const [a, b, c] = [dims[0], dims[1], places].map((n) => Float32Array.from({ length: n }, () => rng.normal()))
    for (let i = 0; i < values.length; i++)
      values[i] += a[Math.floor(i / (dims[1] * places))] * b[Math.floor(i / places) % dims[1]] * c[i % places]
  }
  return floatTensor(name, dims, values)
}

function net(
  nodes: readonly Node[],
  tensors: readonly Tensor[],
  input: readonly (number | string)[],
  opset?: number,
): Model {
  return makeModel(
    {
      nodes,
      initializers: new Map(tensors.map((t) => [t.name, t])),
      inputs: [valueInfo('x', 'float32', input)],
      outputs: [valueInfo('y', 'float32')],
    },
    opset,
  )
}

/** A convolution with a bias. */
function convolution(dims: readonly number[], attributes: Attributes = {}, kernel = draw('w', dims)): Model {
  const group = typeof attributes?.group === 'number' ? attributes.group : 1
  const image = [9, 10].slice(0, dims.length - 2)
  return net(
    [node('Conv', ['x', 'w', 'b'], ['y'], attributes)],
    [kernel, draw('b', [dims[0]])],
    ['N', dims[1] * group, ...image],
  )
}

const whole = { onlyCheaper: false, norm: 'weights', rank: 1_000_000 } as const

async function expectSame(
  method: Method,
  before: Model,
  options: object,
  { nodes, within = 1e-5 }: { nodes: number; within?: number },
) {
  const warnings: string[] = []
  const after = await method(before, options, { warn: (w) => warnings.push(w) })
  expect(warnings).toEqual([])
  expect(after.graph.nodes.length).toBe(nodes)
  const feeds = randomFeeds(before, { batch: 3 })
  expect(largestDifference(await outputsOf(before, feeds), await outputsOf(after, feeds))).toBeLessThan(within)
}

const attributes: [string, Attributes][] = [
  ['plain', {}],
  ['strides', { strides: [2, 1] }],
  ['dilations and pads on one side', { dilations: [1, 2], pads: [0, 1, 2, 0] }],
  ['pads at all sides and a kernel shape', { pads: [1, 1, 1, 1], kernel_shape: [3, 3], strides: [2, 2] }],
  ['auto_pad SAME_UPPER', { auto_pad: 'SAME_UPPER', strides: [2, 2] }],
  ['auto_pad SAME_LOWER', { auto_pad: 'SAME_LOWER' }],
  ['auto_pad VALID', { auto_pad: 'VALID', strides: [1, 2] }],
]

describe('at full rank a factorised layer equals the whole one in ONNX Runtime', () => {
  it.each(attributes)('tucker: %s', async (_, given) => {
    await expectSame(tucker as Method, convolution([12, 7, 3, 3], given), whole, { nodes: 3 })
    await expectSame(tucker as Method, convolution([12, 4, 3, 3], { ...given, group: 3 }), whole, { nodes: 3 })
  })
  it.each(attributes)('spatial-svd: %s', async (_, given) => {
    await expectSame(spatialSvd as Method, convolution([12, 7, 3, 3], given), whole, { nodes: 2 })
    await expectSame(spatialSvd as Method, convolution([12, 4, 3, 3], { ...given, group: 3 }), whole, { nodes: 2 })
    await expectSame(spatialSvd as Method, convolution([6, 1, 3, 3], { ...given, group: 6 }), whole, { nodes: 2 })
  })
  it.each(attributes)('filter-groups: %s', async (_, given) => {
    await expectSame(filterGroups as Method, convolution([12, 8, 3, 3], given), whole, { nodes: 2 })
    // 6 channels do not fall into 4 groups, but into 3.
    await expectSame(filterGroups as Method, convolution([5, 6, 3, 3], given), whole, { nodes: 2 })
  })
  it.each(attributes)('cp: %s', async (_, given) => {
    const kernel = ofComponents('w', [12, 7, 3, 3], 4)
    await expectSame(
      cp as Method,
      convolution([12, 7, 3, 3], given, kernel),
      { ...whole, rank: 4, iterations: 1000 },
      { nodes: 3 },
    )
  })
  it.each<[string, Model]>([
    ['a 1x1 convolution with strides and pads', convolution([12, 7, 1, 1], { strides: [2, 2], pads: [1, 0, 0, 1] })],
    ['a grouped 1x1 convolution', convolution([12, 4, 1, 1], { group: 3 })],
    ['a 1x1 convolution of one dimension', convolution([12, 7, 1], { strides: [2] })],
    ['MatMul', net([node('MatMul', ['x', 'w'], ['y'])], [draw('w', [9, 5])], ['N', 4, 9])],
    ['Gemm', net([node('Gemm', ['x', 'w', 'b'], ['y'])], [draw('w', [9, 5]), draw('b', [5])], ['N', 9])],
    [
      'Gemm with factors, of an old operator set',
      net(
        [
          node('Gemm', ['x', 'w', 'b'], ['y'], {
            transB: 1,
            alpha: { type: 'float', value: 0.5 },
            beta: { type: 'float', value: 2 },
          }),
        ],
        [draw('w', [5, 9]), draw('b', [5])],
        ['N', 9],
        9,
      ),
    ],
  ])('svd: %s', async (_, given) => {
    await expectSame(svd as Method, given, whole, { nodes: 2 })
  })
  it('tucker and cp on one dimension', async () => {
    await expectSame(tucker as Method, convolution([12, 7, 5], { strides: [2], pads: [2, 1] }), whole, { nodes: 3 })
    const kernel = ofComponents('w', [12, 7, 5], 3)
    const options = { ...whole, rank: 3, iterations: 1000 }
    await expectSame(cp as Method, convolution([12, 7, 5], { dilations: [2] }, kernel), options, { nodes: 3 })
  })
  it('a kernel of low rank at that rank, found by variational Bayes, with fewer multiply-adds', async () => {
    // 32 x 24 channels through 5 x 4: exact at ranks 5 and 4.
    const [outer, inner, core] = [draw('o', [32, 5]), draw('i', [4, 24]), draw('c', [5, 4, 9])]
    const values = new Float32Array(32 * 24 * 9)
    const at = (t: Tensor, i: number): number => new Float32Array(t.data.buffer, t.data.byteOffset)[i]
    for (let t = 0; t < 32; t++)
      for (let s = 0; s < 24; s++)
        for (let k = 0; k < 9; k++)
          for (let p = 0; p < 5; p++)
            for (let q = 0; q < 4; q++)
              values[(t * 24 + s) * 9 + k] +=
                at(outer, t * 5 + p) * at(inner, q * 24 + s) * at(core, (p * 4 + q) * 9 + k)
    const before = convolution([32, 24, 3, 3], {}, floatTensor('w', [32, 24, 3, 3], values))
    await expectSame(tucker as Method, before, { norm: 'weights' }, { nodes: 3 })
    const after = await tucker(before, { norm: 'weights' })
    expect(after.graph.nodes.map((n) => after.graph.initializers.get(n.inputs[1])?.dims)).toEqual([
      [4, 24, 1, 1],
      [5, 4, 3, 3],
      [32, 5, 1, 1],
    ])
  })
})

describe('weights that reach their layer in other ways', () => {
  it('are read behind Identity and Transpose, as Constants, and shared, once for all layers', async () => {
    const dims = [8, 8, 3, 3]
    const turned = [node('Transpose', ['w0'], ['w'], { perm: [3, 2, 1, 0] }), node('Conv', ['x', 'w', 'b'], ['y'])]
    const behind = net(turned, [draw('w0', [...dims].reverse()), draw('b', [8])], ['N', 8, 6, 6])
    await expectSame(tucker as Method, behind, whole, { nodes: 3 })
    const constant = net(
      [
        node('Constant', [], ['c'], { value: draw('', dims) }),
        node('Identity', ['c'], ['w']),
        node('Conv', ['x', 'w'], ['h'], { pads: [1, 1, 1, 1] }),
        node('Relu', ['h'], ['r']),
        node('Conv', ['r', 'w'], ['y'], { strides: [2, 2] }),
      ],
      [],
      ['N', 8, 6, 6],
    )
    await expectSame(tucker as Method, constant, whole, { nodes: 7 })
    const after = await tucker(constant, whole)
    expect(after.graph.initializers.size).toBe(3)
  })

  it('of 16 bits have factors of 16 bits', async () => {
    const half = draw('w', [16, 16]).data
    const w = tensorOfFloats('w', 'float16', [16, 16], new Float32Array(half.buffer, half.byteOffset, 256))
    const casts = [
      node('Cast', ['x'], ['h'], { to: 10 }),
      node('MatMul', ['h', 'w'], ['m']),
      node('Cast', ['m'], ['y'], { to: 1 }),
    ]
    const before = net(casts, [w], ['N', 16])
    await expectSame(svd as Method, before, whole, { nodes: 4, within: 5e-3 })
  })

  it('that cannot be factorised are named, and everything else is still done', async () => {
    const before = net(
      [
        node('Conv', ['x', 'a'], ['h'], { pads: [1, 1, 1, 1] }),
        node('Add', ['h', 'e'], ['g']),
        node('Conv', ['g', 'b'], ['k'], { pads: [1, 1, 1, 1] }),
        node('ReduceSum', ['b'], ['s'], { keepdims: 0 }),
        node('Mul', ['k', 's'], ['m']),
        node('NoSuchOp', ['m'], ['y'], {}, { domain: 'some.where' }),
      ],
      [draw('a', [16, 16, 3, 3]), draw('b', [16, 16, 3, 3]), draw('e', [1])],
      ['N', 16, 6, 6],
    )
    const warnings: string[] = []
    const after = await tucker(before, { rank: 12, norm: 'weights' }, { warn: (w) => warnings.push(w) })
    expect(after.graph.nodes.length).toBe(8)
    expect(warnings).toEqual(['tucker: not factorised, as it is read by other operators too, or as a first input: "b"'])
  })

  it.each<[string, Method]>([
    ['svd', svd as Method],
    ['cp', cp as Method],
    ['tucker', tucker as Method],
    ['spatial-svd', spatialSvd as Method],
    ['filter-groups', filterGroups as Method],
  ])('%s says that nothing was changed, and why', async (id, method) => {
    const said = async (before: Model, options: object): Promise<string[]> => {
      const warnings: string[] = []
      expect(await method(before, options, { warn: (w) => warnings.push(w) })).toBe(before)
      return warnings
    }
    const [kernel, dense] = [
      convolution([16, 16, 3, 3]),
      net([node('MatMul', ['x', 'w'], ['y'])], [draw('w', [16, 8])], ['N', 16]),
    ]
    const [own, other] = id === 'svd' ? [dense, kernel] : [kernel, dense]
    const none = await said(other, { norm: 'weights' })
    expect(none).toHaveLength(1)
    expect(none[0]).toMatch(new RegExp(`^${id}: nothing was changed: there is no .* that it could replace$`))
    expect((await said(own, { norm: 'weights', rank: 500 })).at(-1)).toBe(
      `${id}: nothing was changed: every layer stays whole`,
    )
  })

  it('ranks that are given, and rules that ranks are not chosen by, are refused together', async () => {
    const before = convolution([16, 16, 3, 3])
    await expect(tucker(before, { energy: 0.8 })).rejects.toThrow('tucker: energy: ranksBy vbmf does not read it')
    await expect(tucker(before, { ranksBy: 'energy', inputRank: 3 })).rejects.toThrow('inputRank is given too')
    await expect(cp(before, { share: 0 })).rejects.toThrow('cp: share must be a number within [0.000001, 1], got 0')
  })

  it('are chosen by name, and a mistyped name gets the nearest one', async () => {
    const before = convolution([16, 16, 3, 3])
    expect(await tucker(before, { rank: 2, norm: 'weights', exclude: ['w'] })).toBe(before)
    await expect(tucker(before, { only: ['ww'] })).rejects.toThrow(
      'tucker: there is no layer with the weight "ww"; did you mean "w"?',
    )
  })
})

describe('factors that keep less than half of the squared norm', () => {
  const said = async (method: Method, before: Model, options: object, context: Context = {}): Promise<string[]> => {
    const warnings: string[] = []
    await method(before, options, { ...context, warn: (w) => warnings.push(w) })
    return warnings
  }
  /** Squared norms of 1 to 6, of which a rank keeps the largest: outputs and inputs have one entry of each in common. */
  const layer = (places: number): Tensor => {
    const values = new Float32Array(6 * 6 * places)
    for (let i = 0; i < 6; i++) values[(i * 6 + i) * places] = Math.sqrt(i + 1)
    return floatTensor('w', places === 1 ? [6, 6, 1, 1] : [6, 6, 3, 3], values)
  }

  it.each<[string, Method, number]>([
    ['svd', svd as Method, 1],
    ['tucker', tucker as Method, 9],
  ])('%s names the layer with the share, of 21 in all', async (id, method, places) => {
    const before = convolution(places === 1 ? [6, 6, 1, 1] : [6, 6, 3, 3], {}, layer(places))
    const options = { norm: 'weights', onlyCheaper: false } as const
    expect(await said(method, before, { ...options, rank: 1 })).toEqual([
      `${id}: the factors keep less than half of the squared norm of "w" (28 %); train afterwards, or keep more`,
    ])
    // 11 of 21.
    expect(await said(method, before, { ...options, rank: 2 })).toEqual([])
  })

  it('is said of all factorisations, in either norm, and not where most is kept', async () => {
    const before = convolution([16, 16, 3, 3], { pads: [1, 1, 1, 1] })
    const context = correlated(before)
    for (const method of [tucker, spatialSvd, cp, filterGroups] as Method[])
      for (const norm of ['weights', 'data']) {
        const options = { norm, onlyCheaper: false }
        const [one, ...more] = await said(method, before, { ...options, rank: 1 }, context)
        expect(one).toMatch(/the factors keep less than half of the squared norm of "w" \(\d+ %\); train afterwards/)
        expect(more).toEqual([])
      }
    expect(await said(tucker as Method, before, { norm: 'data', rank: 12 }, context)).toEqual([])
  })

  it('by variational Bayes, a smaller weakening is named, which keeps more', async () => {
    // Noise alone: no rank is found, and the least is 1.
    const before = convolution([24, 24, 3, 3])
    expect((await said(tucker as Method, before, { norm: 'weights' })).join()).toMatch(/, as a smaller weakening does$/)
    expect(await said(tucker as Method, before, { norm: 'weights', weakening: 0.1, onlyCheaper: false })).toEqual([])
  })
})

/** Calibration inputs whose channels depend on one another, as those of real layers do. */
function correlated(given: Model): Context {
  const [{ shape = [] }] = given.graph.inputs
  const channels = shape[1] as number
  const mixing = draw('m', [channels, 3])
  const mix = new Float32Array(mixing.data.buffer, mixing.data.byteOffset)
  const batch = (seed: number): Feeds => {
    const own = random(seed)
    const dims = [4, ...shape.slice(1).map(Number)]
    const places = sizeOf(dims.slice(2))
    const data = new Float32Array(sizeOf(dims))
    for (let n = 0; n < 4; n++)
      for (let p = 0; p < places; p++) {
        const hidden = [0, 1, 2].map(() => own.normal())
        for (let c = 0; c < channels; c++)
          data[(n * channels + c) * places + p] =
            0.5 + 0.1 * own.normal() + hidden.reduce((sum, h, k) => sum + h * mix[c * 3 + k], 0)
      }
    return { x: { dtype: 'float32', dims, data } }
  }
  return {
    data: {
      *calibration() {
        for (let seed = 1; seed <= 8; seed++) yield batch(seed)
      },
    },
  }
}

async function error(before: Model, after: Model, context: Context): Promise<number> {
  let sum = 0
  for (const feeds of context.data?.calibration() ?? []) {
    const [a, b] = [(await outputsOf(before, feeds)).y.data, (await outputsOf(after, feeds)).y.data] as Float32Array[]
    for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2
  }
  return sum
}

describe("in the data's norm outputs on calibration data change less at the same rank", () => {
  it.each<[string, Method, Model, object]>([
    [
      'svd, dense',
      svd as Method,
      net([node('Gemm', ['x', 'w'], ['y'])], [draw('w', [20, 16])], ['N', 20]),
      { rank: 5 },
    ],
    [
      'svd, MatMul',
      svd as Method,
      net([node('MatMul', ['x', 'w'], ['y'])], [draw('w', [20, 16])], ['N', 20]),
      { rank: 5 },
    ],
    ['svd, 1x1', svd as Method, convolution([16, 20, 1, 1]), { rank: 5 }],
    ['svd, grouped', svd as Method, convolution([24, 8, 1, 1], { group: 2 }), { rank: 3 }],
    ['tucker', tucker as Method, convolution([16, 14, 3, 3], { pads: [1, 1, 1, 1] }), { rank: 5 }],
    ['tucker, outputs alone', tucker as Method, convolution([16, 14, 3, 3]), { rank: 5, inputRank: 14 }],
    ['tucker, grouped', tucker as Method, convolution([16, 7, 3, 3], { group: 2 }), { rank: 3 }],
    ['spatial-svd', spatialSvd as Method, convolution([16, 14, 3, 3], { strides: [2, 2] }), { rank: 6 }],
    ['cp', cp as Method, convolution([16, 14, 3, 3]), { rank: 12 }],
    ['filter-groups', filterGroups as Method, convolution([16, 12, 3, 3], { strides: [2, 2] }), { rank: 3 }],
  ])('%s', async (_, method, before, options) => {
    const context = correlated(before)
    const plain = await method(before, { ...options, norm: 'weights' }, context)
    const byData = await method(before, { ...options, norm: 'data' }, context)
    expect(byData.graph.nodes.length).toBe(plain.graph.nodes.length)
    const [most, least] = [await error(before, plain, context), await error(before, byData, context)]
    expect(least).toBeLessThan(0.7 * most)
  })
})

describe('filter groups', () => {
  const before = net(
    [
      node('Conv', ['x', 'a'], ['h'], { pads: [1, 1, 1, 1] }),
      node('Conv', ['h', 'b'], ['i'], { pads: [1, 1, 1, 1], strides: [2, 2] }),
      node('Conv', ['i', 'c'], ['j'], { pads: [1, 1, 1, 1] }),
      node('Conv', ['j', 'd'], ['y'], { pads: [1, 1, 1, 1], strides: [2, 2] }),
    ],
    [draw('a', [16, 16, 3, 3]), draw('b', [16, 16, 3, 3]), draw('c', [7, 16, 3, 3]), draw('d', [16, 7, 3, 3])],
    ['N', 16, 12, 12],
  )
  const groupsOf = (after: Model): unknown[] =>
    after.graph.nodes.map(({ attributes: { group } }) => (group?.type === 'int' ? group.value : 1))

  it('are fewer with each smaller size of maps, or as many everywhere', async () => {
    const options = { groups: 8, rank: 1, norm: 'weights' } as const
    expect(groupsOf(await filterGroups(before, options))).toEqual([8, 1, 4, 1, 4, 1, 1])
    expect(groupsOf(await filterGroups(before, { ...options, hierarchy: false }))).toEqual([8, 1, 8, 1, 8, 1, 7, 1])
  })

  it('leave a layer whole whose channels no number of groups divides', async () => {
    const warnings: string[] = []
    const options = { groups: 2, rank: 1, norm: 'weights' } as const
    const after = await filterGroups(before, options, { warn: (w) => warnings.push(w) })
    expect(groupsOf(after)).toEqual([2, 1, 2, 1, 2, 1, 1])
    expect(warnings).toContain(
      'filter-groups: not factorised, as no number of groups up to that asked for divides its input channels: "d"',
    )
  })
})

describe('components that grow without bound', () => {
  it('are held, or the layer stays whole and is named', async () => {
    // a∘a∘b + a∘b∘a + b∘a∘a: rank 3, and as near as one likes to rank 2, with components that cancel each other.
    const e = [
      [1, 0],
      [0, 1],
    ]
    const values = new Float64Array(16 * 16 * 9)
    for (const [p, q, r] of [
      [0, 0, 1],
      [0, 1, 0],
      [1, 0, 0],
    ])
      for (let i = 0; i < 2; i++)
        for (let j = 0; j < 2; j++)
          for (let k = 0; k < 2; k++) values[(i * 16 + j) * 9 + k] += e[p][i] * e[q][j] * e[r][k]
    const before = convolution([16, 16, 3, 3], {}, floatTensor('w', [16, 16, 3, 3], Float32Array.from(values)))
    const warnings: string[] = []
    const after = await cp(before, { rank: 2, norm: 'weights', iterations: 2000 }, { warn: (w) => warnings.push(w) })
    if (after === before) return expect(warnings.join()).toMatch(/grow without bound/)
    for (const { data } of after.graph.initializers.values())
      for (const v of new Float32Array(data.buffer, data.byteOffset, data.length / 4))
        expect(Math.abs(v)).toBeLessThan(4)
  })
})

describe.skipIf(!modelsFolder)(`factorisation of real models${needsModels}`, () => {
  const files = modelsFolder ? readdirSync(modelsFolder).filter((f) => f.endsWith('.onnx')) : []
  it.each(files)(
    '%s loads and runs after svd and tucker that keep 0.9 of the weights',
    { timeout: 120_000 },
    async (file) => {
      const before = realModel(file.replace(/\.onnx$/, ''))
      const options = { ranksBy: 'energy', norm: 'weights' } as const
      const after = await tucker(await svd(before, options), options)
      const session = await openSession(before)
      const feeds = (await findRandomInputs(before, session)).make(0)
      await session.release()
      expect(Object.keys(await outputsOf(after, feeds)).length).toBeGreaterThan(0)
    },
  )
})

it('measured, a layer stays whole where its factors are not faster, though they take fewer multiply-adds', async () => {
  // A product of 512 by 512 takes a hundred times as long as its factors; one of 8 by 8 less than a second node does.
  const before = net(
    [
      node('MatMul', ['x', 'large'], ['h']),
      node('MatMul', ['h', 'narrow'], ['n']),
      node('MatMul', ['n', 'tiny'], ['y']),
    ],
    [draw('large', [512, 512]), draw('narrow', [512, 8]), draw('tiny', [8, 8])],
    [1, 512],
  )
  const said: string[] = []
  const options = { rank: 3, norm: 'weights', exclude: ['narrow'] } as const
  const counted = await svd(before, options)
  const measured = await svd(before, { ...options, measure: true }, { warn: (m) => said.push(m) })
  expect(counted.graph.nodes).toHaveLength(5)
  expect(measured.graph.nodes).toHaveLength(4)
  expect(measured.graph.initializers.get('tiny')).toBe(before.graph.initializers.get('tiny'))
  expect(said).toContain('svd: not factorised, as the factors are not measurably faster: "tiny"')
})

it('the same seed gives the same bytes, in the data’s norm too', async () => {
  const before = convolution([16, 14, 3, 3])
  const context = { ...correlated(before), seed: 4 }
  for (const method of [tucker, cp, spatialSvd, filterGroups] as Method[]) {
    const [a, b] = [await method(before, {}, context), await method(before, {}, context)]
    expect(Buffer.compare(writeModel(a), writeModel(b))).toBe(0)
  }
})
