/**
 * Gradients beside PyTorch's: every backward rule in each of its forms, and every network of the zoo, with the same
 * weights and inputs in both. PyTorch computes each case twice, in float64, which is what both are measured against,
 * and in float32, which shows how much of a difference is rounding.
 *
 *   COPPICE_PYTHON=python-with-torch npx tsx bench/gradients.mts
 *
 * An error is the largest difference of a tensor's elements over the tensor's largest element (or over a thousandth of
 * the largest in all tensors: a bias before a normalisation has a gradient of exactly zero), and of a case the largest
 * of its tensors. A network of many ReLUs always has some inputs to them so close to zero that rounding decides their
 * sign, and each of those changes gradients by far more than rounding; so each network is also compared in a form without kinks
 * (Softplus, Sigmoid and average pools instead of Relu, Clip and max pools).
 * Writes bench/results/gradients.json; fails where a case that has no kink, or is one operator, is off by more than
 * `tolerance` and more than ten times as far as PyTorch's own float32.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { backward, grown, type TypedGraph } from '../src/grad/backward.ts'
import { plainEngine } from '../src/grad/engine.ts'
import { specialize } from '../src/grad/specialize.ts'
import { trainingForm } from '../src/grad/training-form.ts'
import { model as makeModel, nameSource, node, valueInfo } from '../src/graph/build.ts'
import type { Feeds, Value } from '../src/method.ts'
import { type Model, type Tensor, withGraph } from '../src/model.ts'
import { createEmitter } from '../src/ops/grad/emit.ts'
import { bytesOf, floatTensor, integerTensor, sizeOf } from '../src/tensor/dtype.ts'
import { random } from '../src/tensor/random.ts'
import { gradientCases } from '../src/testing/gradient-cases.ts'
import { stepGradients } from '../src/testing/step-gradients.ts'
import { differentiatedFor, drawn, evaluate, forwardGraph, inputValues, probe } from '../src/testing/test-gradient.ts'
import { chooseEngine } from '../src/train/choose-engine.ts'
import { losses, oneHot } from '../src/train/losses.ts'
import { trainableNames } from '../src/train/parameters.ts'
import { type ZooOptions, zoo } from '../src/zoo/index.ts'

const tolerance = 1e-5
type Arrays = ReadonlyMap<string, ArrayLike<number>>

interface Answer {
  readonly value: number
  readonly gradients: Arrays
  readonly products: Arrays
}

interface Question {
  readonly graph: TypedGraph['graph']
  readonly wrt: readonly string[]
  readonly of: string
  /** What is fed. */
  readonly values: Feeds
  /** Class probabilities: the loss is then the cross-entropy of `of`. */
  readonly target?: Value
  /** One for each of `wrt`: asks for the products of the Hessian with them. */
  readonly vectors?: Feeds
}

function startPeer() {
  const python = process.env.COPPICE_PYTHON
  if (!python) throw new Error('gradients: COPPICE_PYTHON is not set; expected a Python that has PyTorch')
  const child: ChildProcessWithoutNullStreams = spawn(python, [join(import.meta.dirname, 'peers/gradients.py')])
  child.stderr.on('data', (text) => process.stderr.write(text))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error('gradients: PyTorch ended before it answered')
    return JSON.parse(value as string)
  }
  const packed = (data: Uint8Array): string => Buffer.from(data).toString('base64')
  const stored = (t: Tensor) => ({ dtype: t.dtype, dims: t.dims, data: packed(t.data) })
  const fed = (v: Value) => ({ dtype: v.dtype, dims: v.dims, data: packed(bytesOf(v.data as Float32Array)) })
  const all = <T, U>(entries: Iterable<readonly [string, T]>, f: (t: T) => U): Record<string, U> =>
    Object.fromEntries([...entries].map(([name, t]) => [name, f(t)]))
  const arrays = (found: Record<string, string | null>): Arrays =>
    new Map(
      Object.entries(found).flatMap(([name, text]) =>
        text === null ? [] : [[name, new Float64Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer)]],
      ),
    )
  return {
    hello: next(),
    async ask({ graph, wrt, of, values, target, vectors }: Question): Promise<Record<'float64' | 'float32', Answer>> {
      const nodes = graph.nodes.map(({ op, inputs, outputs, attributes }) => ({
        op,
        inputs,
        outputs,
        attributes: all(Object.entries(attributes), (a) => ('value' in a ? a.value : a)),
      }))
      const tensors = { ...all(graph.initializers, stored), ...all(Object.entries(values), fed) }
      const more = {
        ...(target && { target: fed(target) }),
        ...(vectors && { vectors: all(Object.entries(vectors), fed) }),
      }
      child.stdin.write(`${JSON.stringify({ nodes, tensors, wrt, of, ...more })}\n`)
      return all(Object.entries<Answer>(await next()), (answer) => ({
        value: answer.value,
        gradients: arrays(answer.gradients as never),
        products: arrays(answer.products as never),
      })) as Record<'float64' | 'float32', Answer>
    },
    end: () => void child.kill(),
  }
}

const peer = startPeer()
const { engine, reason } = await chooseEngine()
if (reason) throw new Error(`gradients: there is no blocked engine here: ${reason}`)

/** The largest of the tensors' errors. A gradient that is left out is zero. */
function error(found: Arrays, expected: Arrays): number {
  const overall = [...expected.values()].flatMap((v) => Array.from(v, Math.abs)).reduce((a, b) => Math.max(a, b), 0)
  let worst = 0
  for (const name of new Set([...found.keys(), ...expected.keys()])) {
    const [a, b] = [found.get(name), expected.get(name)]
    let [difference, largest] = [0, overall / 1000]
    for (let i = 0; i < (a ?? b ?? []).length; i++) {
      difference = Math.max(difference, Math.abs((a?.[i] ?? 0) - (b?.[i] ?? 0)))
      largest = Math.max(largest, Math.abs(b?.[i] ?? 0))
      if (a && !Number.isFinite(a[i])) return Number.POSITIVE_INFINITY
    }
    if (difference > 0) worst = Math.max(worst, difference / largest)
  }
  return worst
}

interface Row {
  readonly name: string
  /** Of the loss itself: whether both mean the same forward pass. */
  readonly loss: number
  /** Errors against float64. */
  readonly gradients: Record<string, number>
  /** The same of the form without bends. */
  readonly smooth?: Record<string, number>
  /** Errors of Hessian-vector products. */
  readonly products?: Record<string, number>
}

/** A scalar of a graph by the plain engine, its gradients, and unless `once` their products with random vectors. */
async function compareGraph(
  name: string,
  forward: TypedGraph,
  {
    of,
    wrt,
    values,
    once,
    opset,
  }: {
    of: string
    wrt: readonly string[]
    values: Feeds
    once?: boolean
    opset?: number
  },
): Promise<Row> {
  const first = backward(forward, of, wrt)
  const used = wrt.filter((w) => first.gradients.has(w))
  const firsts = used.map((w) => first.gradients.get(w) as string)
  const vectors = drawn(first, firsts, 5)
  const dims = (w: string): readonly number[] => forward.types.get(w)?.shape ?? []
  const scalar = probe(first, firsts, { vectors, name: 'product' })
  const second = once ? undefined : backward(scalar, 'product', wrt)
  const named = (results: Record<string, Value>, names: ReadonlyMap<string, string>): Arrays =>
    new Map([...names].map(([w, gradient]) => [w, results[gradient].data as Float32Array]))
  const mine = await evaluate(first, [of, ...firsts], values, { dtype: 'float32', opset })
  const answer = await peer.ask({
    graph: forward.graph,
    wrt,
    of,
    values,
    ...(second && {
      vectors: Object.fromEntries(used.map((w, i) => [w, { dtype: 'float32', dims: dims(w), data: vectors[i] }])),
    }),
  })
  const { float64, float32 } = answer
  const products =
    second &&
    named(await evaluate(second, [...second.gradients.values()], values, { dtype: 'float32', opset }), second.gradients)
  return {
    name,
    loss: Math.abs(Number(mine[of].data[0]) - float64.value) / Math.abs(float64.value),
    gradients: {
      plain: error(named(mine, first.gradients), float64.gradients),
      torch: error(float32.gradients, float64.gradients),
    },
    ...(products && {
      products: { plain: error(products, float64.products), torch: error(float32.products, float64.products) },
    }),
  }
}

/** Small forms of the zoo's networks; the others at their own size. */
const forms: Readonly<Record<string, ZooOptions>> = {
  alexnet: { inputShape: [3, 64, 64], width: 0.25 },
  vgg16: { inputShape: [3, 32, 32], width: 0.25 },
  vgg19: { inputShape: [3, 32, 32], width: 0.25 },
  ...Object.fromEntries(
    ['googlenet', 'squeezenet1_1', 'resnet18', 'resnet50', 'mobilenetV2', 'shufflenetV2'].map((name) => [
      name,
      { inputShape: [3, 32, 32], width: 0.5, stem: 'cifar' } as const,
    ]),
  ),
  ...Object.fromEntries([20, 32, 44, 56, 110].map((n) => [`resnet${n}`, { inputShape: [3, 16, 16] } as const])),
}
const batch = 4

/** A network of the zoo by both engines, as it is and without bends. */
async function compareNet(name: string): Promise<Row> {
  const { build, defaults } = zoo[name]
  const model = build({ ...defaults, seed: 1, classes: 10, ...forms[name] })
  const smooth = await compareStep(withoutBends(model))
  return { name, ...(await compareStep(model)), smooth: smooth.gradients }
}

function withoutBends(model: Model): Model {
  const nodes = model.graph.nodes.map((n) => {
    if (n.op === 'Relu') return { ...n, op: 'Softplus' }
    if (n.op === 'Clip') return { ...n, op: 'Sigmoid', inputs: [n.inputs[0]] }
    return n.op === 'MaxPool' ? { ...n, op: 'AveragePool' } : n
  })
  return withGraph(model, { nodes })
}

/** The gradients of the first training step. */
async function compareStep(model: Model): Promise<Pick<Row, 'loss' | 'gradients'>> {
  const rng = random(2)
  const dims = [batch, ...(model.graph.inputs[0].shape as number[]).slice(1)]
  const input = {
    dtype: 'float32',
    dims,
    data: Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()),
  } as const
  const target = oneHot(
    Array.from({ length: batch }, (_, i) => i),
    10,
  )
  const mask = (index: number, size: number): Float32Array => {
    const draw = random(100 + index)
    return Float32Array.from({ length: size }, () => (draw.next() < 0.5 ? 0 : 2))
  }
  const common = { loss: 'cross-entropy', inputs: { input }, target: () => target, mask } as const
  const plain = await stepGradients(model, { ...common, engine: plainEngine })
  const blocked = await stepGradients(model, { ...common, engine })
  const { graph } = trainingForm(specialize(model, { input: dims }))
  const masks = plain.step.noise.map(({ input: at, shape }, i) => [
    at,
    { dtype: 'float32', dims: shape, data: mask(i, sizeOf(shape)) },
  ])
  const { float64, float32 } = await peer.ask({
    graph,
    wrt: [...plain.gradients.keys()],
    of: plain.step.output,
    values: { input, ...Object.fromEntries(masks) },
    target: { dtype: 'float32', dims: [batch, 10], data: target },
  })
  return {
    loss: Math.abs(plain.loss - float64.value) / Math.abs(float64.value),
    gradients: {
      plain: error(plain.gradients, float64.gradients),
      blocked: error(blocked.gradients, float64.gradients),
      torch: error(float32.gradients, float64.gradients),
    },
  }
}

/** A quantiser and its inverse, whose scale is differentiated for too. */
async function compareQuantisers(perChannel: boolean): Promise<Row> {
  const channels = perChannel ? 4 : 1
  const side = perChannel ? { axis: 1 } : {}
  const step = floatTensor(
    'step',
    perChannel ? [4] : [],
    Array.from({ length: channels }, (_, i) => 0.013 * (i + 1)),
  )
  const zero = integerTensor(
    'zero',
    'uint8',
    step.dims,
    Array.from({ length: channels }, (_, i) => 100 + 20 * i),
  )
  const rng = random(3)
  const x = { dtype: 'float32', dims: [6, 4, 5], data: Float32Array.from({ length: 120 }, () => 2 * rng.normal()) }
  const net = makeModel({
    nodes: [
      node('QuantizeLinear', ['x', 'step', 'zero'], ['q'], side),
      node('DequantizeLinear', ['q', 'step', 'zero'], ['y'], side),
    ],
    initializers: new Map([
      ['step', step],
      ['zero', zero],
    ]),
    inputs: [valueInfo('x', 'float32', [6, 4, 5])],
    outputs: [valueInfo('y', 'float32', [6, 4, 5])],
  })
  const special = specialize(net, {})
  const forward = probe(special, ['y'], { vectors: drawn(special, ['y'], 7), name: 'loss' })
  const name = `QuantizeLinear and DequantizeLinear (${perChannel ? 'a scale per channel' : 'one scale'})`
  return compareGraph(name, forward, { of: 'loss', wrt: ['x', 'step'], values: { x }, once: true })
}

/** LeNet-5 with its loss, differentiated twice: products with the Hessian of all weights. */
async function compareHessian(): Promise<Row> {
  const special = specialize(zoo.lenet5.build({ seed: 1 }), { input: [batch, 1, 28, 28] })
  const g = createEmitter(special.types, nameSource(special.graph))
  const target = g.constant(
    oneHot(
      Array.from({ length: batch }, (_, i) => i),
      10,
    ),
    'float32',
    [batch, 10],
  )
  const of = losses['cross-entropy'](g, special.graph.outputs[0].name, target)
  const rng = random(4)
  const input = {
    dtype: 'float32',
    dims: [batch, 1, 28, 28],
    data: Float32Array.from({ length: batch * 784 }, () => rng.normal()),
  }
  return compareGraph('lenet5, by its Hessian', grown(special, g), {
    of,
    wrt: trainableNames(special.graph),
    values: { input },
  })
}

const operators: Row[] = []
const networks: Row[] = []
let failed = false
function note(into: Row[], row: Row): void {
  into.push(row)
  const show = (errors: Record<string, number>): string =>
    Object.entries(errors)
      .map(([who, e]) => `${who} ${e.toExponential(1)}`)
      .join(', ')
  const judged = row.smooth ? [row.smooth] : [row.gradients, row.products ?? { torch: 0 }]
  const far = judged.some(({ torch, ...ours }) =>
    Object.values(ours).some((e) => !(e <= Math.max(tolerance, 10 * torch))),
  )
  if (far) failed = true
  const parts = [row.gradients, row.smooth, row.products].flatMap((errors) => (errors ? show(errors) : []))
  console.log(`${far ? 'FAR ' : ''}${row.name}: loss ${row.loss.toExponential(1)}; ${parts.join('; ')}`)
}

const { torch } = await peer.hello
for (const test of gradientCases) {
  const wrt = differentiatedFor(test)
  const name = `${test.op}${test.name ? ` (${test.name})` : ''}`
  const at = {
    of: 'loss',
    wrt,
    values: inputValues(test, 'float32', 1),
    once: test.once !== undefined,
    opset: test.opset,
  }
  note(operators, await compareGraph(name, forwardGraph(test, 'float32'), at))
}
for (const perChannel of [false, true]) note(operators, await compareQuantisers(perChannel))
note(networks, await compareHessian())
for (const name of Object.keys(zoo)) note(networks, await compareNet(name))
peer.end()
const about = { command: 'npx tsx bench/gradients.mts', torch, batch, forms }
writeFileSync(
  join(import.meta.dirname, 'results/gradients.json'),
  `${JSON.stringify({ ...about, operators, networks }, null, 2)}\n`,
)
process.exitCode = failed ? 1 : 0
