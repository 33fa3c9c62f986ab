/** Channels removed from networks of many shapes, the zoo and real models: they run, and do what they did where the channels were dead. */
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { storedBytes } from '../graph/walk.ts'
import type { Feeds, Value } from '../method.ts'
import type { Attribute, Graph, Model } from '../model.ts'
import { channels } from '../prune/channels.ts'
import { sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { channelShapes } from '../testing/channel-shapes.ts'
import { drawUnits, withDead } from '../testing/dead-channels.ts'
import {
  largestDifference,
  modelsFolder,
  needsModels,
  outputsOf,
  randomFeeds,
  realModel,
} from '../testing/real-models.ts'
import { zoo } from '../zoo/index.ts'
import { openChannels } from './channel-groups.ts'

/** What comes out of a state for a channel that is gone is 0, whatever a dead one holds. */
const isState = (name: string): boolean => /cache|state|stack|h_out/.test(name)

/** Removes this share of units at random, expects what the network with dead ones gives, and tells the share of bytes left. */
async function left(model: Model, feeds: Feeds, share: number): Promise<number> {
  const opened = openChannels(model)
  const units = drawUnits(opened, 3, share)
  const small = opened.without(units)
  const [before, after] = [await outputsOf(withDead(model, units), feeds), await outputsOf(small, feeds)]
  const seen = Object.fromEntries(Object.entries(before).filter(([name]) => !isState(name)))
  expect(largestDifference(seen, after)).toBeLessThan(1e-5)
  for (const [name, value] of Object.entries(before)) expect(after[name].dims).toEqual(value.dims)
  return storedBytes(small) / storedBytes(model)
}

describe('30 % and 50 % of the channels of', () => {
  it.each(Object.entries(channelShapes))('%s', async (_, [make, most]) => {
    const net = make()
    const feeds = randomFeeds(net)
    expect(await left(net, feeds, 0.3)).toBeLessThan(1)
    expect(await left(net, feeds, 0.5)).toBeLessThanOrEqual(most)
  })

  // Dense layers of few units, so that each takes seconds at most.
  const small = { classes: 10, inputShape: [3, 32, 32], width: 0.25 } as const
  it.each(Object.entries(zoo))('%s of the zoo', async (name, { build, takes, defaults }) => {
    const stem = takes.includes('stem') ? { stem: 'cifar' as const } : {}
    const pooled = takes.includes('pooled') ? { pooled: 1 } : {}
    const inputShape = name === 'alexnet' ? ([3, 64, 64] as const) : small.inputShape
    const isLarge = defaults.inputShape[0] === 3
    const net = isLarge ? build({ ...small, inputShape, ...stem, ...pooled }) : build()
    const feeds = randomFeeds(net, { batch: 1 })
    expect(await left(net, feeds, 0.3)).toBeLessThan(0.75)
    expect(await left(net, feeds, 0.5)).toBeLessThan(0.55)
  })
})

it('channels are removed in the branches of an If, and those that others read stay', async () => {
  const [branch] = [channelShapes['residual blocks'][0]()]
  const inside = (seed: number): Attribute => {
    const { inputs: _, ...graph } = branch.graph
    const of = (name: string): string => (name === 'x' || !name ? name : `${name}_${seed}`)
    const nodes = graph.nodes.map((n) => ({ ...n, inputs: n.inputs.map(of), outputs: n.outputs.map(of) }))
    const initializers = new Map([...graph.initializers].map(([k, t]) => [of(k), { ...t, name: of(k) }]))
    const outputs = graph.outputs.map((o) => ({ ...o, name: of(o.name) }))
    const value: Graph = { ...graph, nodes, initializers, inputs: [], outputs }
    return { type: 'graph', value }
  }
  const net = makeModel({
    nodes: [node('If', ['yes'], ['y'], { then_branch: inside(1), else_branch: inside(2) })],
    initializers: new Map(),
    inputs: [valueInfo('yes', 'bool', []), valueInfo('x', 'float32', ['N', 3, 8, 8])],
    outputs: [valueInfo('y', 'float32', ['N', 5])],
  })
  const said: string[] = []
  const small = await channels(net, { sparsity: 0.5, score: 'l1' }, { warn: (m) => said.push(m) })
  expect(storedBytes(small)).toBeLessThan(0.5 * storedBytes(net))
  // Each branch is what the network in it alone becomes.
  const alone = await channels(branch, { sparsity: 0.5, score: 'l1' })
  const { x } = randomFeeds(branch)
  const [expected] = Object.values(await outputsOf(alone, { x }))
  for (const yes of [0, 1]) {
    const flag: Value = { dtype: 'bool', dims: [], data: Uint8Array.from([yes]) }
    const { y } = await outputsOf(small, { x, yes: flag })
    expect(largestDifference({ y: expected }, { y })).toBeLessThan(1e-6)
  }
})

/** Inputs of a model, states as they start. */
function feedsOf({ graph }: Model): Feeds {
  const rng = random(1)
  const given = graph.inputs.filter((i) => !graph.initializers.has(i.name))
  const feeds = given.map(({ name, dtype, shape = [] }): [string, Value] => {
    const dims = shape.map((d) => (typeof d === 'number' && d > 0 ? d : 1))
    // What silero_vad leaves open: samples of sound, and its state.
    if (shape.length === 2 && shape.every((d) => typeof d !== 'number' || d === 0)) dims[1] = 512
    const size = sizeOf(dims)
    if (dtype === 'int64') return [name, { dtype, dims, data: new BigInt64Array(size).fill(16000n) }]
    const scale = dims[1] === 1 && dims[2] === 28 ? 80 : name === graph.inputs[0].name ? 1 : 0
    return [name, { dtype: 'float32', dims, data: Float32Array.from({ length: size }, () => scale * rng.normal()) }]
  })
  return Object.fromEntries(feeds)
}

describe.skipIf(!modelsFolder)(`30 %% and 50 %% of the channels of real models${needsModels}`, () => {
  const names = modelsFolder ? readdirSync(modelsFolder).filter((n) => n.endsWith('.onnx')) : []
  it.each(names.map((n) => n.replace('.onnx', '')))('%s', async (name) => {
    const net = realModel(name)
    const feeds = feedsOf(net)
    const start = performance.now()
    const opened = openChannels(net)
    const units = drawUnits(opened, 3, 0.5)
    opened.without(units)
    // A bound that a busy machine holds; on a quiet one all are below a second.
    expect(performance.now() - start).toBeLessThan(5000)
    for (const share of [0.3, 0.5]) {
      // Nested graphs are not made dead here: they are looked at by the test above.
      if (opened.rooms.length > 1)
        expect(
          Object.keys(await outputsOf(openChannels(net).without(drawUnits(opened, 3, share)), feeds)),
        ).toHaveLength(2)
      else await left(net, feeds, share)
    }
    if (!name.endsWith('-int8')) expect(storedBytes(opened.without(units))).toBeLessThan(0.8 * storedBytes(net))
  })
})
