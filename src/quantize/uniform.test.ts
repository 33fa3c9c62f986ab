/** Weights on uniform grids: steps follow the price of a bit, and outputs lose what was predicted. */
import { describe, expect, it } from 'vitest'
import { model as makeModel, node, valueInfo } from '../graph/build.ts'
import { weightTensors } from '../graph/weights.ts'
import { type Attribute, type Model, type Tensor, withWeights } from '../model.ts'
import { openSession } from '../runtime/session.ts'
import { divergenceFrom } from '../task/divergence.ts'
import { guessTask } from '../task/guess.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { inverseCholesky } from '../tensor/linalg.ts'
import { random } from '../tensor/random.ts'
import { exampleBatches, exampleModel } from '../testing/test-method.ts'
import { quantizeMatrix } from './_rate-distortion.ts'
import { maxLevel, nearestHalf } from './quantize-weights.ts'
import { planAt, prepareUniform, quantizeAt, uniform } from './uniform.ts'

const settings = { minElements: 8, vectors: 4096, exclude: [] }

async function divergence(model: Model, other: Model): Promise<number> {
  const run = async (m: Model) => {
    const session = await openSession(m, { threads: 1 })
    const all = []
    for (const feeds of exampleBatches(9, 8)) all.push(await session.run(feeds))
    await session.release()
    return all
  }
  return divergenceFrom(await run(model), guessTask(model))(await run(other))
}

describe('inverseCholesky', () => {
  it('gives U with UᵀU the inverse', () => {
    const k = 12
    const rng = random(3)
    const a = Float64Array.from({ length: k * 40 }, () => rng.normal())
    const h = new Float64Array(k * k)
    for (let i = 0; i < k; i++)
      for (let j = 0; j < k; j++) for (let s = 0; s < 40; s++) h[i * k + j] += a[i * 40 + s] * a[j * 40 + s]
    const u = inverseCholesky(h, k)
    for (let i = 0; i < k; i++) {
      for (let j = 0; j < k; j++) {
        let product = 0 // (H · UᵀU)[i][j]
        for (let p = 0; p < k; p++) for (let q = 0; q < k; q++) product += h[i * k + p] * u[q * k + p] * u[q * k + j]
        expect(product).toBeCloseTo(i === j ? 1 : 0, 9)
      }
      for (let j = 0; j < i; j++) expect(u[i * k + j]).toBe(0)
    }
  })

  it('says where a matrix is not positive definite', () => {
    expect(() => inverseCholesky(Float64Array.of(1, 2, 2, 1), 2)).toThrow(
      /^linalg: the matrix is not positive definite/,
    )
  })
})

describe('quantizeMatrix', () => {
  /** Correlated inputs, as neighbouring pixels are. */
  function correlated(k: number): Float64Array {
    return Float64Array.from({ length: k * k }, (_, i) => 0.9 ** Math.abs(Math.floor(i / k) - (i % k)))
  }
  /** Sum over rows of e H eᵀ. */
  function outputError(
    weights: Float64Array,
    levels: Int32Array,
    { h, k, step }: { h: Float64Array; k: number; step: number },
  ): number {
    let sum = 0
    for (let r = 0; r < weights.length / k; r++) {
      for (let i = 0; i < k; i++) {
        for (let j = 0; j < k; j++) {
          sum +=
            (weights[r * k + i] - levels[r * k + i] * step) *
            h[i * k + j] *
            (weights[r * k + j] - levels[r * k + j] * step)
        }
      }
    }
    return sum
  }
  const k = 24
  const rows = 16
  const rng = random(5)
  const weights = Float64Array.from({ length: rows * k }, () => rng.normal())
  const h = correlated(k)
  const u = inverseCholesky(h, k)
  const factor = { u, diagonal: Float64Array.from({ length: k }, (_, i) => u[i * k + i]) }
  const step = 0.7

  it('reports the error that the levels really make', () => {
    const { levels, error } = quantizeMatrix(weights, rows, factor, { step, lambda: 0, maxLevel })
    expect(error).toBeCloseTo(outputError(weights, levels, { h, k, step }), 6)
  })

  it('feeding errors back leaves less output error than rounding', () => {
    const { error } = quantizeMatrix(weights, rows, factor, { step, lambda: 0, maxLevel })
    const rounded = Int32Array.from(weights, (w) => Math.round(w / step))
    expect(error).toBeLessThan(0.7 * outputError(weights, rounded, { h, k, step }))
  })

  it('without inputs and at no price, it rounds', () => {
    const plain = { diagonal: new Float64Array(k).fill(1) }
    const { levels } = quantizeMatrix(weights, rows, plain, { step, lambda: 0, maxLevel })
    expect([...levels]).toEqual([...weights].map((w) => Math.round(w / step) || 0))
  })

  it('what is exactly zero stays zero, and where no weight is negative none becomes so', () => {
    const sparse = weights.map((w) => Math.max(0, w - 1))
    const zeros = sparse.filter((w) => w === 0).length
    expect(zeros).toBeGreaterThan(0.7 * sparse.length)
    for (const sign of [1, -1]) {
      for (const lambda of [0, 0.05]) {
        const signed = sparse.map((w) => sign * w)
        const { levels, error } = quantizeMatrix(signed, rows, factor, { step, lambda, maxLevel })
        expect(levels.filter((q, i) => signed[i] === 0 && q !== 0)).toHaveLength(0)
        expect(levels.filter((q) => sign * q < 0)).toHaveLength(0)
        expect(error).toBeCloseTo(outputError(signed, levels, { h, k, step }), 6)
      }
    }
  })

  it('a higher price gives fewer bits and more error', () => {
    const at = (lambda: number) => quantizeMatrix(weights, rows, factor, { step, lambda, maxLevel })
    expect(at(0.05).bits).toBeLessThan(at(0).bits)
    expect(at(0.05).error).toBeGreaterThan(at(0).error)
    expect(at(0.2).bits).toBeLessThan(at(0.05).bits)
  })
})

describe('uniform', () => {
  const model = exampleModel()
  const context = { data: { calibration: () => exampleBatches(3, 16) }, seed: 1 }

  it('puts every weight on its grid, within 16 bits', async () => {
    const prepared = await prepareUniform(model, settings, context)
    for (const lambda of [1e-9, 1e-6, 1e-3]) {
      const { model: quantized, kept } = await quantizeAt(prepared, lambda)
      expect(kept).toEqual([])
      const plan = planAt(prepared, lambda)
      const names = weightTensors(model).map((w) => w.name)
      expect(names.length).toBe(3)
      for (const name of names) {
        const step = Math.fround(plan.get(name)?.step as number)
        const values = floats(quantized.graph.initializers.get(name) as never)
        for (const v of values) {
          const level = Math.round(v / step)
          expect(Math.fround(level * step)).toBe(v)
          expect(Math.abs(level)).toBeLessThanOrEqual(maxLevel)
        }
      }
    }
  })

  it('at a price at which 16 bits are too coarse, weights stay as they are', async () => {
    const prepared = await prepareUniform(model, settings, context)
    const { model: quantized, kept, bits } = await quantizeAt(prepared, 1e-25)
    expect(kept).toHaveLength(3)
    for (const name of kept)
      expect(quantized.graph.initializers.get(name)).toBe(prepared.model.graph.initializers.get(name))
    expect(bits).toBeGreaterThan((await quantizeAt(prepared, 1e-9)).bits)
  })

  it('weights that are small beside the largest become float16, which a grid of 16 bits would lose', async () => {
    const w2 = model.graph.initializers.get('w2') as Tensor
    const values = floats(w2).slice()
    values[0] = 20_000
    const prepared = await prepareUniform(
      withWeights(model, [floatTensor('w2', w2.dims, values)]),
      { ...settings, exclude: ['w1', 'w3'] },
      context,
    )
    const at = async (lambda: number) =>
      floats((await quantizeAt(prepared, lambda)).model.graph.initializers.get('w2') as Tensor)
    expect(await at(1e-9)).toEqual(values.map(nearestHalf))
    expect(await at(1e-25)).toEqual(values)
  })

  it('costs less accuracy than the same bits spent evenly', async () => {
    const prepared = await prepareUniform(model, settings, context)
    const even = await prepareUniform(model, settings, { seed: 1 })
    const smart = await quantizeAt(prepared, 1e-5)
    // The uninformed quantiser, given at least as many bits.
    let lambda = 1
    let plain = await quantizeAt(even, lambda)
    while (plain.bits < smart.bits) plain = await quantizeAt(even, (lambda /= 1.2))
    expect(await divergence(model, smart.model)).toBeLessThan(await divergence(model, plain.model))
  })

  it('the higher the price, the fewer bits and the larger the divergence', async () => {
    const prepared = await prepareUniform(model, settings, context)
    const fine = await quantizeAt(prepared, 1e-7)
    const coarse = await quantizeAt(prepared, 1e-4)
    expect(coarse.bits).toBeLessThan(0.75 * fine.bits)
    expect(await divergence(model, coarse.model)).toBeGreaterThan(await divergence(model, fine.model))
  })

  it('bits: as many bits per weight as asked for, and says where that cannot be', async () => {
    const prepared = await prepareUniform(model, settings, context)
    const size = prepared.layers.reduce((n, l) => n + floats(l.weight.tensor).length, 0)
    for (const bits of [1.5, 4]) {
      const found = await uniform(model, { ...settings, bits }, context)
      // Which lambda it was: the one whose model has the same weights.
      const levels = weightTensors(found).map((w) => new Set(floats(w.tensor)).size)
      let lambda = 1
      let at = await quantizeAt(prepared, lambda)
      while (at.bits / size < 0.98 * bits) at = await quantizeAt(prepared, (lambda /= 1.1))
      expect(at.bits / size).toBeLessThan(1.1 * bits)
      const near = weightTensors(at.model).map((w) => new Set(floats(w.tensor)).size)
      levels.forEach((n, i) => {
        expect(n / near[i]).toBeGreaterThan(0.8)
        expect(n / near[i]).toBeLessThan(1.25)
      })
    }
    await expect(uniform(model, { ...settings, bits: 0.01 }, context)).rejects.toThrow(
      /^uniform: bits is 0.01; expected at least/,
    )
  })

  it('leaves excluded weights alone', async () => {
    const quantized = await uniform(model, { exclude: ['w2'], minElements: 8 }, context)
    expect(quantized.graph.initializers.get('w2')).toBe(model.graph.initializers.get('w2'))
    expect(quantized.graph.initializers.get('w1')).not.toBe(model.graph.initializers.get('w1'))
  })

  it('where coarse noise breaks the output, finer noise is measured', async () => {
    // What the first layer makes is small beside its weights, and positive: its logarithm bears little noise.
    const rng = random(12)
    const first = Float32Array.from({ length: 128 }, () => rng.normal())
    for (let c = 0; c < 8; c++) {
      let rest = 0.02
      for (let r = 0; r < 15; r++) rest -= first[8 * r + c]
      first[120 + c] = rest
    }
    const logarithm: Model = makeModel({
      nodes: [node('MatMul', ['x', 'a'], ['h']), node('Log', ['h'], ['l']), node('MatMul', ['l', 'b'], ['logits'])],
      initializers: new Map([
        ['a', floatTensor('a', [16, 8], first)],
        [
          'b',
          floatTensor(
            'b',
            [8, 4],
            Float32Array.from({ length: 32 }, () => rng.normal()),
          ),
        ],
      ]),
      inputs: [valueInfo('x', 'float32', ['N', 16])],
      outputs: [valueInfo('logits', 'float32', ['N', 4])],
    })
    const x = { dtype: 'float32' as const, dims: [64, 16], data: new Float32Array(1024) }
    for (let i = 0; i < 64; i++) x.data.fill(1 + i / 64, 16 * i, 16 * i + 16)
    const prepared = await prepareUniform(logarithm, settings, { data: { calibration: () => [{ x }] } })
    const { model: quantized } = await quantizeAt(prepared, 1e-8)
    const session = await openSession(quantized, { threads: 1 })
    const { logits } = await session.run({ x })
    await session.release()
    expect([...logits.data].every(Number.isFinite)).toBe(true)
  })

  it('the biases of a filter bank, which a logarithm may need, do not fall below the least of them', async () => {
    const rng = random(21)
    const positive = (name: string, dims: readonly number[], scale: number) =>
      floatTensor(
        name,
        dims,
        Float32Array.from({ length: dims.reduce((a, b) => a * b) }, () => scale * (0.1 + rng.next())),
      )
    const bank: Model = makeModel({
      nodes: [node('Gemm', ['x', 'a', 'c'], ['h']), node('Log', ['h'], ['y'])],
      initializers: new Map([
        ['a', positive('a', [16, 24], 1)],
        ['c', positive('c', [24], 0.01)],
      ]),
      inputs: [valueInfo('x', 'float32', ['N', 16])],
      outputs: [valueInfo('y', 'float32', ['N', 24])],
    })
    const least = Math.min(...floats(bank.graph.initializers.get('c') as Tensor))
    const data = Float32Array.from({ length: 256 * 16 }, () => rng.next() ** 4)
    const x = { dtype: 'float32' as const, dims: [256, 16], data }
    const prepared = await prepareUniform(bank, settings, { data: { calibration: () => [{ x }] } })
    for (const lambda of [1e-6, 1e-4, 1e-2]) {
      const { model: quantized } = await quantizeAt(prepared, lambda)
      expect(Math.min(...floats(quantized.graph.initializers.get('c') as Tensor))).toBeGreaterThanOrEqual(least)
    }
  })

  it('what no sample reaches, the other branch, is no free room', async () => {
    const rng = random(8)
    const drawn = (name: string, dims: readonly number[]) =>
      floatTensor(
        name,
        dims,
        Float32Array.from({ length: dims[0] * dims[1] }, () => rng.normal() / Math.sqrt(dims[0])),
      )
    const branch = (weight: string): Attribute => ({
      type: 'graph',
      value: {
        name: weight,
        nodes: [node('MatMul', ['x', weight], [`${weight}_made`])],
        initializers: new Map([[weight, drawn(weight, [16, 32])]]),
        inputs: [],
        outputs: [valueInfo(`${weight}_made`, 'float32')],
      },
    })
    const branching: Model = makeModel({
      nodes: [
        node('ReduceSum', ['x'], ['sum'], { keepdims: 0 }),
        node('Greater', ['sum', 'much'], ['is']),
        node('If', ['is'], ['h'], { then_branch: branch('rare'), else_branch: branch('usual') }),
        node('Relu', ['h'], ['r']),
        node('MatMul', ['r', 'last'], ['y']),
      ],
      initializers: new Map([
        ['much', floatTensor('much', [], [1e6])],
        ['last', drawn('last', [32, 4])],
      ]),
      inputs: [valueInfo('x', 'float32', ['N', 16])],
      outputs: [valueInfo('y', 'float32', ['N', 4])],
    })
    const batch = () => ({
      x: { dtype: 'float32' as const, dims: [64, 16], data: Float32Array.from({ length: 1024 }, () => rng.normal()) },
    })
    const feeds = [batch(), batch()]
    const said: string[] = []
    const prepared = await prepareUniform(branching, settings, {
      data: { calibration: () => feeds },
      warn: (sentence) => said.push(sentence),
    })
    expect(said).toEqual([
      'weights that change no output on the samples are taken to matter as much as those that matter most: rare',
    ])
    const plan = planAt(prepared, 1e-5)
    expect(plan.get('rare')?.step).toBeLessThan(1.5 * (plan.get('usual')?.step as number))
  })
})
