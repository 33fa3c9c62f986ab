/** A budget of latency: the search, with times made up; and one that is measured. */
import { describe, expect, it } from 'vitest'
import { model as makeModel, valueInfo } from '../graph/build.ts'
import { inspectModel } from '../inspect/inspect.ts'
import type { Model } from '../model.ts'
import { outputsOf, randomFeeds } from '../testing/real-models.ts'
import { netBuilder } from '../testing/small-nets.ts'
import { exampleModel } from '../testing/test-method.ts'
import { type TimeShare, withinLatency } from './_latency-budget.ts'
import { channels } from './channels.ts'

const net: Model = exampleModel()

/** Removing a share of units leaves this share of the time. */
const search = async (left: (share: number) => number, sparsity: number) => {
  const shares: number[] = []
  const timeShare: TimeShare = async () => left(shares[shares.length - 1])
  const found = await withinLatency(net, {
    sparsity,
    at(share) {
      shares.push(share)
      return { model: net, units: new Map([['w', new Set([Math.round(64 * share)])]]) }
    },
    timeShare,
  })
  return { ...found, tried: new Set(shares.map((s) => Math.round(64 * s))).size }
}

describe('a budget of latency', () => {
  it('takes the fewest channels that are measured to be enough', async () => {
    expect((await search((share) => 1 - share / 2, 0.25)).share).toBeCloseTo(0.5, 1)
    const found = await search((share) => (1 - share) ** 2, 0.5)
    expect(found.left).toBeLessThanOrEqual(0.5)
    expect(found.left).toBeGreaterThan(0.48)
    expect(found.tried).toBeLessThan(8)
  })

  it('believes what was measured, where fewer channels take longer', async () => {
    // Kernels take blocks of a quarter of the channels, and part of one is slower than a whole one.
    const steps = (share: number): number => 1 - Math.floor(4 * share) / 4 + ((4 * share) % 1 ? 0.1 : 0)
    expect((await search(steps, 0.5)).left).toBeLessThanOrEqual(0.5)
  })

  it('refuses what cannot be reached', async () => {
    await expect(search((share) => 1 - 0.4 * share, 0.5)).rejects.toThrow(
      'channels: 40 % of the latency at most can be removed on this machine; expected a sparsity of at most 0.4',
    )
  })

  it('removes channels by what ONNX Runtime takes, and says how to remove the same again', async () => {
    const b = netBuilder(4)
    const conv = (x: string, name: string, from: number, to: number): string =>
      b.op('Relu', [b.op('Conv', [x, b.weight(name, [to, from, 3, 3])], { pads: [1, 1, 1, 1] })])
    const y = conv(conv(conv('x', 'u', 3, 64), 'v', 64, 64), 'w', 64, 3)
    const whole = makeModel({
      nodes: b.nodes,
      initializers: b.initializers,
      inputs: [valueInfo('x', 'float32', ['N', 3, 24, 24])],
      outputs: [valueInfo(y, 'float32', ['N', 3, 24, 24])],
    })
    const said: string[] = []
    const options = { repair: 'none', multiple: 16 } as const
    const small = await channels(whole, { ...options, budget: 'latency', sparsity: 0.2 }, { warn: (m) => said.push(m) })
    const share = Number(/a sparsity of ([\d.]+) removes/.exec(said[0])?.[1])
    expect(await channels(whole, { ...options, sparsity: share })).toEqual(small)
    expect(inspectModel(small).totals.macs).toBeLessThan(inspectModel(whole).totals.macs as number)
    expect(Object.values(await outputsOf(small, randomFeeds(small)))[0].dims).toEqual([2, 3, 24, 24])
  })
})
