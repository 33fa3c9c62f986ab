/**
 * The conformance suite of methods: what each must hold, whatever it does.
 * Its input is not changed, its output opens and runs in ONNX Runtime with the same inputs and outputs, its defaults
 * are valid, the same call gives the same bytes, and options survive JSON.
 */
import { expect, it } from 'vitest'
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

/** Registers the suite for one method. `context` defaults to seeded calibration batches for the example model. */
export function testMethod(method: Method, options: { readonly model?: Model; readonly context?: Context } = {}): void {
  const { model: input = exampleModel(), context = { seed: 1, data: { calibration: () => exampleBatches() } } } =
    options
  const [feeds] = [...(context.data?.calibration() ?? exampleBatches())]

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

  it('runs without a context', async () => {
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
