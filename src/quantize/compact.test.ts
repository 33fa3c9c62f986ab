/** Weights of few values as integers: the same floats come out of ONNX Runtime. */
import { describe, expect, it } from 'vitest'
import { packModel } from '../formats/pack.ts'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { type Model, type Tensor, withGraph, withWeights } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { writeModel } from '../onnx/write.ts'
import { magnitude } from '../prune/magnitude.ts'
import { openSession } from '../runtime/session.ts'
import { bytesOf, floats, floatTensor, integerTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { compact, expandGrids } from './compact.ts'
import { nearestHalf } from './quantize-weights.ts'
import { share } from './share.ts'

const base = exampleModel()
const w2 = base.graph.initializers.get('w2') as NonNullable<ReturnType<typeof base.graph.initializers.get>>

async function outputs(model: Model): Promise<Uint8Array[]> {
  const session = await openSession(model, { threads: 1 })
  const all: Uint8Array[] = []
  for (const feeds of exampleBatches()) all.push(bytesOf((await session.run(feeds)).y.data).slice())
  await session.release()
  return all
}

describe('compact', () => {
  it.each([
    ['int8', 0.01],
    ['int16', 0.002],
  ])('a grid becomes %s, and the outputs stay bit for bit', async (dtype, step) => {
    const s = Math.fround(step)
    const grid = floatTensor(
      'w2',
      w2.dims,
      floats(w2).map((v) => Math.round(v / s) * s || 0),
    )
    const model = withWeights(base, [grid])
    const small = await compact(model)
    expect(small.graph.initializers.get('w2_q')?.dtype).toBe(dtype)
    expect(small.graph.initializers.has('w2')).toBe(false)
    expect(writeModel(small).length).toBeLessThan(writeModel(model).length)
    expect(await outputs(small)).toEqual(await outputs(model))
    const wide = expandGrids(small)
    expect(floats(wide.graph.initializers.get('w2') as typeof w2)).toEqual(floats(grid))
    expect(wide.graph.nodes).toHaveLength(model.graph.nodes.length)
    expect(await outputs(wide)).toEqual(await outputs(model))
  })

  it('a grid of 16 bits on which nearly every value is another becomes int16', async () => {
    const rng = random(2)
    const s = Math.fround(0.00022162056)
    const levels = [...Float64Array.from({ length: 1024 }, () => Math.round(8000 * rng.normal()) % 32768)]
    const fine = floatTensor(
      'w2',
      [32, 32],
      levels.map((q) => q * s),
    )
    expect(new Set(levels).size).toBeGreaterThan(900)
    const nodes = [node('MatMul', ['x', 'w2'], ['y'])]
    const model = makeModel({
      nodes,
      initializers: new Map([['w2', fine]]),
      inputs: [valueInfo('x', 'float32', ['N', 32])],
      outputs: [valueInfo('y', 'float32', ['N', 32])],
    })
    const small = await compact(model)
    expect(small.graph.initializers.get('w2_q')?.dtype).toBe('int16')
    expect(floats(expandGrids(small).graph.initializers.get('w2') as Tensor)).toEqual(floats(fine))
    expect(writeModel(small).length).toBeLessThan(0.6 * writeModel(model).length)
    // Beside floats on no grid, which stay.
    const loose = floatTensor(
      'w2',
      [32, 32],
      Float32Array.from(levels, () => rng.normal()),
    )
    expect(await compact(withWeights(model, [loose]))).toEqual(withWeights(model, [loose]))
  })

  it('weights that are float16 to the bit become so, and the outputs stay bit for bit', async () => {
    const model = withWeights(base, [floatTensor('w2', w2.dims, floats(w2).map(nearestHalf))])
    const small = await compact(model)
    expect(small.graph.initializers.get('w2_float16')?.dtype).toBe('float16')
    expect(small.graph.initializers.has('w2')).toBe(false)
    expect(await outputs(small)).toEqual(await outputs(model))
  })

  it('a codebook becomes uint8 indices, and the outputs stay bit for bit', async () => {
    const model = await share(base, { values: 16 })
    const small = await compact(model)
    expect(small.graph.initializers.get('w2_q')?.dtype).toBe('uint8')
    expect(small.graph.initializers.get('w2_s')?.dims[0]).toBeLessThanOrEqual(16)
    expect(expandGrids(small)).toBe(small)
    expect(await outputs(small)).toEqual(await outputs(model))
  })

  it("a codebook's indices are in the order of its values, and pack about as well as the levels of a grid", async () => {
    const rng = random(4)
    // Few levels, of which some lie beyond int8: a codebook.
    const draws = Float32Array.from({ length: 1 << 16 }, () => Math.round(30 * rng.normal()))
    const levels = draws.map((q) => (Math.abs(q) > 100 ? 300 : q))
    const step = Math.fround(0.01)
    const grid = floatTensor(
      'w',
      [256, 256],
      levels.map((q) => Math.fround(q * step) || 0),
    )
    const net = parseModel(
      'ir 8\nopset 17\ngraph g {\n in x: float32[1, 256]\n out y: float32[1, 256]\n y = MatMul(x, w)\n}',
    )
    const small = await compact(withWeights(net, [grid]))
    const book = floats(small.graph.initializers.get('w_s') as Tensor)
    expect([...book].sort((a, b) => a - b)).toEqual([...book])
    const int16 = integerTensor('q', 'int16', [256, 256], levels)
    const stored = (t: Tensor): Model => withGraph(net, { initializers: new Map([[t.name, t]]) })
    const indices = small.graph.initializers.get('w_q') as Tensor
    expect(packModel(stored(indices)).length).toBeLessThan(1.01 * packModel(stored(int16)).length)
  })

  it('weights in Constant nodes, too', async () => {
    const model = await share(base, { values: 16 })
    const weight = model.graph.initializers.get('w2') as NonNullable<typeof w2>
    const initializers = new Map(model.graph.initializers)
    initializers.delete('w2')
    const constant = node('Constant', [], ['w2'], { value: { type: 'tensor', value: { ...weight, name: '' } } })
    const moved = { ...model, graph: { ...model.graph, initializers, nodes: [constant, ...model.graph.nodes] } }
    const small = await compact(moved)
    expect(small.graph.nodes.some((n) => n.op === 'Constant')).toBe(false)
    expect(small.graph.initializers.get('w2_q')?.dtype).toBe('uint8')
    expect(await outputs(small)).toEqual(await outputs(moved))
  })

  it('leaves weights alone that take many values', async () => {
    expect(await compact(base)).toBe(base)
  })
})

describe('share', () => {
  it('keeps at most the asked number of values, and zero exact', async () => {
    const pruned = await magnitude(base, { sparsity: 0.7 })
    const shared = await share(pruned, { values: 8 })
    const before = floats(pruned.graph.initializers.get('w2') as never)
    const after = floats(shared.graph.initializers.get('w2') as never)
    expect(new Set(after.filter((v) => v !== 0)).size).toBeLessThanOrEqual(8)
    for (let i = 0; i < before.length; i++) expect(after[i] === 0).toBe(before[i] === 0)
  })

  it('one codebook for all', async () => {
    const shared = await share(base, { values: 12, scope: 'global', minElements: 8 })
    const values = ['w1', 'w2', 'w3'].flatMap((name) => [...floats(shared.graph.initializers.get(name) as never)])
    expect(new Set(values).size).toBeLessThanOrEqual(12)
  })

  it('more values leave less error', async () => {
    const error = async (values: number): Promise<number> => {
      const shared = floats((await share(base, { values })).graph.initializers.get('w2') as never)
      return floats(w2).reduce((sum, v, i) => sum + (v - shared[i]) ** 2, 0)
    }
    const errors = [await error(2), await error(8), await error(32)]
    expect(errors[1]).toBeLessThan(0.3 * errors[0])
    expect(errors[2]).toBeLessThan(0.3 * errors[1])
  })
})
