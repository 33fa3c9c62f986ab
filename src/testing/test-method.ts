/**
 * The conformance suite of methods: what each must hold, whatever it does.
 * Its input is not changed, its output opens and runs in ONNX Runtime with the same inputs and outputs, its defaults
 * are valid, the same call gives the same bytes, and options survive JSON.
 */
import { expect, it } from 'vitest'
import { type BoundBatcher, batcherFor } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import { guessPreprocess } from '../data/preprocess.ts'
import { f, model, node, valueInfo } from '../graph/build.ts'
import type { Context, Feeds, Method } from '../method.ts'
import type { Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { checkOptions, type OptionDef, type OptionTable } from '../options.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { outputsOf } from './real-models.ts'

/** A small network with a convolution, its BatchNormalization, a residual, pooling and a dense layer; seeded weights. */
export function exampleModel(seed = 1): Model {
  const rng = random(seed)
  const draw = (name: string, dims: number[], value = (): number => 0.3 * rng.normal()) =>
    floatTensor(
      name,
      dims,
      Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => value()),
    )
  const positive = () => 0.5 + rng.next()
  const weights = [
    draw('w1', [8, 3, 3, 3]),
    draw('gamma', [8], positive),
    draw('beta', [8]),
    draw('mean', [8]),
    draw('variance', [8], positive),
    draw('w2', [8, 8, 3, 3]),
    draw('b2', [8]),
    draw('w3', [5, 8]),
    draw('b3', [5]),
  ]
  return model({
    nodes: [
      node('Conv', ['x', 'w1'], ['c1'], { pads: [1, 1, 1, 1] }, { name: 'first' }),
      node('BatchNormalization', ['c1', 'gamma', 'beta', 'mean', 'variance'], ['n1'], { epsilon: f(1e-5) }),
      node('Relu', ['n1'], ['r1']),
      node('Conv', ['r1', 'w2', 'b2'], ['c2'], { pads: [1, 1, 1, 1] }, { name: 'second' }),
      node('Add', ['c2', 'r1'], ['a2']),
      node('Relu', ['a2'], ['r2']),
      node('GlobalAveragePool', ['r2'], ['p3']),
      node('Flatten', ['p3'], ['f3']),
      node('Gemm', ['f3', 'w3', 'b3'], ['y'], { transB: 1 }, { name: 'dense' }),
    ],
    initializers: new Map(weights.map((t) => [t.name, t])),
    inputs: [valueInfo('x', 'float32', ['N', 3, 8, 8])],
    outputs: [valueInfo('y', 'float32', ['N', 5])],
  })
}

/** Seeded batches for `exampleModel`. */
export function* exampleBatches(seed = 2, count = 4): Generator<Feeds> {
  const rng = random(seed)
  for (let i = 0; i < count; i++) {
    const data = Float32Array.from({ length: 4 * 3 * 64 }, () => rng.normal())
    yield { x: { dtype: 'float32', dims: [4, 3, 8, 8], data } }
  }
}

/** A seeded training set for `exampleModel`, whose classes show in the means of the inputs. */
export function exampleTraining(seed = 3, length = 128): { readonly train: Dataset; readonly batcher: BoundBatcher } {
  const rng = random(seed)
  const labels = Int32Array.from({ length }, () => Math.floor(5 * rng.next()))
  const data = Float32Array.from({ length: length * 192 }, (_, i) => rng.normal() + labels[Math.floor(i / 192)] - 2)
  const fields = { x: { shape: [3, 8, 8], data, kind: 'values' as const } }
  const train = { id: 'example', length, classes: 5, labels, fields }
  const { graph } = exampleModel()
  return { train, batcher: batcherFor(graph.inputs, train, guessPreprocess(graph.inputs, train), graph.outputs) }
}

/** Registers the suite for one method, on the example model, its calibration batches and its training set. */
export function testMethod(method: Method): void {
  const input = exampleModel()
  const context: Context = { seed: 1, data: { ...exampleTraining(), calibration: () => exampleBatches() } }
  const [feeds] = exampleBatches()

  it('has valid defaults and a line of help for itself and every option', () => {
    expect(() => checkOptions(method.id, method.options)).not.toThrow()
    expect(method.help).toMatch(/\S/)
    for (const [name, def] of Object.entries(method.options)) expect(def.help, name).toMatch(/\S/)
  })

  it('refuses options that it does not have and values out of range, by name', async () => {
    await expect(method(input, { 'no-such-option': 1 }, context)).rejects.toThrow(`${method.id}: `)
    for (const [name, def] of Object.entries(method.options as OptionTable)) {
      await expect(method(input, { [name]: wrongFor(def) }, context)).rejects.toThrow(`${method.id}: ${name}`)
    }
  })

  it('leaves its input unchanged, byte for byte', async () => {
    const before = writeModel(input)
    await method(input, {}, context)
    expect(Buffer.compare(writeModel(input), before)).toBe(0)
  })

  it('gives a model that ONNX Runtime runs, with the same inputs and outputs', async () => {
    const output = await method(input, {}, context)
    expect(output.graph.inputs.map((v) => v.name)).toEqual(input.graph.inputs.map((v) => v.name))
    expect(output.graph.outputs).toEqual(input.graph.outputs)
    const before = await outputsOf(input, feeds)
    const after = await outputsOf(output, feeds)
    for (const [name, value] of Object.entries(before)) {
      expect(after[name].dims).toEqual(value.dims)
      expect(after[name].dtype).toBe(value.dtype)
      expect(Array.from(after[name].data as Float32Array).every(Number.isFinite)).toBe(true)
    }
  })

  it('is deterministic, also with its options spelled out and sent through JSON', async () => {
    const once = writeModel(await method(input, {}, context))
    const again = writeModel(await method(input, {}, context))
    expect(Buffer.compare(once, again)).toBe(0)
    const spelled = JSON.parse(JSON.stringify(checkOptions(method.id, method.options)))
    expect(Buffer.compare(writeModel(await method(input, spelled, context)), once)).toBe(0)
  })

  it(method.trains ? 'says what is missing without data' : 'runs without a context', async () => {
    if (method.trains) return expect(method(input)).rejects.toThrow(/^\S+: there is no data to train on; expected /)
    const output = await method(input)
    expect(Object.keys(await outputsOf(output, feeds))).toEqual(input.graph.outputs.map((v) => v.name))
  })
}

/** A value that the option must refuse. */
function wrongFor(def: OptionDef): never {
  if (def.type === 'number') return Number.NaN as never
  if (def.type === 'boolean') return 'yes' as never
  return 42 as never
}
