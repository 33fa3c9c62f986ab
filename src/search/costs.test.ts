import { describe, expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Dim, Model } from '../model.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { compressCosts } from './costs.ts'

describe('guesses of what compressing costs', () => {
  it('counts an open length as long as random inputs are', () => {
    const { preparing, judging } = compressCosts(chain(4, ['batch', 'length', 32]), { goal: 'size' })
    const fixed = compressCosts(chain(4, ['batch', 512, 32]), { goal: 'size' })
    const short = compressCosts(chain(4, ['batch', 1, 32]), { goal: 'size' })
    expect(judging).toBeCloseTo(fixed.judging, 6)
    expect(judging).toBeGreaterThan(2 * short.judging)
    // Half of what is calibrated on is short.
    expect(preparing).toBeGreaterThan(0.45 * fixed.preparing)
    expect(preparing).toBeLessThan(fixed.preparing)
  })

  it('counts an open length as long as the graph bears, not as long as what is tried first', () => {
    const shape = ['batch', 'length', 32]
    const plain = chain(4, shape)
    const places = floatTensor('places', [1, 64, 32], new Float32Array(2048))
    const { nodes, initializers } = plain.graph
    // Positions for 64 steps are added: 512 and 128 do not fit.
    const placed = {
      ...plain.graph,
      nodes: [node('Add', ['given', 'places'], ['x0']), ...nodes],
      initializers: new Map([...initializers, ['places', places]]),
      inputs: [valueInfo('given', 'float32', shape)],
    }
    const found = compressCosts({ ...plain, graph: placed }, { goal: 'size' })
    const fixed = compressCosts(chain(4, ['batch', 64, 32]), { goal: 'size' })
    expect(found.judging).toBeGreaterThan(fixed.judging)
    expect(found.judging).toBeLessThan(1.5 * fixed.judging)
  })

  it('grows faster than the layers, each of which is measured on what is behind it', () => {
    const [few, many] = [4, 16].map((n) => compressCosts(chain(n, ['batch', 'length', 32]), { goal: 'size' }).preparing)
    expect(many).toBeGreaterThan(8 * few)
  })

  it('does not count nodes without weights as layers that are measured', () => {
    const plain = chain(4, ['batch', 512, 32])
    const nodes = plain.graph.nodes.flatMap((n, i) => (i === 3 ? [n] : [n, ...passOn(n.outputs[0])]))
    expect(compressCosts({ ...plain, graph: { ...plain.graph, nodes } }, { goal: 'size' }).preparing).toBeLessThan(
      1.5 * compressCosts(plain, { goal: 'size' }).preparing,
    )
  })
})

const passOn = (name: string) => Array.from({ length: 5 }, (_, i) => node('Relu', [name], [`${name}/${i}`]))

function chain(layers: number, shape: Dim[]): Model {
  const weights = Array.from({ length: layers }, (_, i) => {
    const values = Float32Array.from({ length: 32 * 32 }, (_, j) => Math.sin(j + i))
    return floatTensor(`w${i}`, [32, 32], values)
  })
  return model({
    inputs: [valueInfo('x0', 'float32', shape)],
    outputs: [valueInfo(`x${layers}`, 'float32', shape)],
    initializers: new Map(weights.map((w) => [w.name, w])),
    valueInfo: [],
    nodes: weights.map(({ name }, i) => node('MatMul', [`x${i}`, name], [`x${i + 1}`])),
  })
}
