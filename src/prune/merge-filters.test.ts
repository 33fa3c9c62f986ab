/** Filters that make the same, merged: outputs stay the same, and tensors shrink. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openChannels } from '../channels/channel-groups.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { storedBytes } from '../graph/walk.ts'
import { type Model, withWeights } from '../model.ts'
import { floats, floatTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { randomChannelNet } from '../testing/channel-nets.ts'
import { channelShapes } from '../testing/channel-shapes.ts'
import { largestDifference, outputsOf, randomFeeds } from '../testing/real-models.ts'
import { exampleModel } from '../testing/test-method.ts'
import { mergeFilters } from './merge-filters.ts'

/** The model with the numbers of some units in place of those of others, in all tensors that make them or pass them on. */
function withCopies(given: Model, seed: number): Model {
  const { groups, model } = openChannels(given)
  const rng = random(seed)
  const changed = new Map<string, Float32Array>()
  for (const group of groups) {
    const from = Int32Array.from({ length: group.units }, (_, u) => (rng.next() < 0.5 ? rng.below(group.units) : u))
    for (const { tensor, axis, role, units } of group.members) {
      const stored = model.graph.initializers.get(tensor)
      if (role === 'reads' || !stored) continue
      const before = changed.get(tensor) ?? floats(stored)
      const values = before.slice()
      const inner = sizeOf(stored.dims.slice(axis + 1))
      const count = stored.dims[axis]
      // The i-th place of a unit gets what the i-th place of the other holds.
      const placesOf = (unit: number): number[] => [...units.keys()].filter((k) => units[k] === unit)
      for (const [unit, other] of from.entries())
        for (const [i, place] of placesOf(unit).entries()) {
          const source = placesOf(other)[i]
          if (source === undefined) continue
          for (let o = 0; o < values.length; o += count * inner)
            for (let k = 0; k < inner; k++) values[o + place * inner + k] = before[o + source * inner + k]
        }
      changed.set(tensor, values)
    }
  }
  const weights = [...changed].map(([name, v]) => floatTensor(name, model.graph.initializers.get(name)?.dims ?? [], v))
  return withWeights(model, weights)
}

/** Merges what is equal, expects the outputs of before, and tells the share of bytes that is left. */
async function leftOf(model: Model, seed = 1): Promise<number> {
  const small = await mergeFilters(model)
  const feeds = randomFeeds(model, { seed, batch: 2 })
  expect(largestDifference(await outputsOf(model, feeds), await outputsOf(small, feeds))).toBeLessThan(1e-5)
  return storedBytes(small) / storedBytes(model)
}

describe('merge-filters', () => {
  it.each([
    'residual blocks',
    'inception',
    'depthwise convolutions',
    'halves that are stacked and dealt out',
    'an image that is flattened',
    'attention, three products',
    'a transformer block',
    'tokens that are mixed',
  ])('merges equal ones: %s', async (name) => {
    expect(await leftOf(withCopies(channelShapes[name][0](), 3))).toBeLessThan(0.95)
  })

  it('leaves outputs as they are on every shape, and on networks at random', async () => {
    for (const [make] of Object.values(channelShapes)) await leftOf(withCopies(make(), 4))
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), async (seed) => {
        await leftOf(withCopies(randomChannelNet(seed), seed), seed)
      }),
      { seed: 1, numRuns: 20 },
    )
  })

  it('says where nothing is alike, and gives the model itself', async () => {
    const said: string[] = []
    const net = exampleModel()
    expect(await mergeFilters(net, {}, { warn: (m) => said.push(m) })).toBe(net)
    expect(said).toEqual(['merge-filters: no filters are alike enough; nothing was merged'])
  })

  it('merges filters that point the same way, where what lies between passes factors on', async () => {
    const rng = random(2)
    const draw = (n: number): number[] => Array.from({ length: n }, () => rng.normal())
    const filter = draw(27)
    const tensors = [
      // The second is three times the first, the third is turned round.
      floatTensor('w', [4, 3, 3, 3], [...filter, ...filter.map((v) => 3 * v), ...filter.map((v) => -v), ...draw(27)]),
      floatTensor('b', [4], [0.5, 1.5, -0.5, 0.1]),
      floatTensor('v', [2, 4, 1, 1], draw(8)),
    ]
    const net = (between: string): Model =>
      makeModel({
        nodes: [
          node('Conv', ['x', 'w', 'b'], ['h']),
          node(between, ['h'], ['r']),
          node('MaxPool', ['r'], ['p'], { kernel_shape: [2, 2] }),
          node('Conv', ['p', 'v'], ['y']),
        ],
        initializers: new Map(tensors.map((t) => [t.name, t])),
        inputs: [valueInfo('x', 'float32', ['N', 3, 8, 8])],
        outputs: [valueInfo('y', 'float32', ['N', 2, 5, 5])],
      })
    const relu = net('Relu')
    expect(await mergeFilters(relu)).toBe(relu)
    const small = await mergeFilters(relu, { cosine: 0.99 })
    expect(small.graph.initializers.get('w')?.dims).toEqual([3, 3, 3, 3])
    const feeds = randomFeeds(relu)
    expect(largestDifference(await outputsOf(relu, feeds), await outputsOf(small, feeds))).toBeLessThan(1e-5)
    const sigmoid = net('Sigmoid')
    expect(await mergeFilters(sigmoid, { cosine: 0.99 })).toBe(sigmoid)
  })

  it('folds BatchNormalization before it compares directions, and takes those that are nearly alike', async () => {
    const net = withCopies(channelShapes.inception[0](), 3)
    const rng = random(6)
    const noisy = [...net.graph.initializers.values()].flatMap((t) =>
      t.dims.length === 4
        ? [
            floatTensor(
              t.name,
              t.dims,
              floats(t).map((v) => v * (1 + 0.05 * rng.normal())),
            ),
          ]
        : [],
    )
    const near = withWeights(net, noisy)
    const size = async (cosine: number): Promise<number> => storedBytes(await mergeFilters(near, { cosine }))
    const [strict, lax] = [await size(0.99999), await size(0.98)]
    expect(lax).toBeLessThan(0.9 * strict)
    const feeds = randomFeeds(near)
    const small = await mergeFilters(near, { cosine: 0.98 })
    expect(largestDifference(await outputsOf(near, feeds), await outputsOf(small, feeds))).toBeLessThan(0.1)
  })
})
