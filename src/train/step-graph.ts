/**
 * One training step as one ONNX model: forward, loss, backward and the optimiser's update.
 *
 * State goes in and comes out, step after step: weights and optimiser slots. Small parameters share one flat vector,
 * since each tensor that crosses into the runtime costs time; large ones are on their own, since joining copies them.
 */
import { backward, grown } from '../grad/backward.ts'
import type { Engine, StoredParameter } from '../grad/engine.ts'
import { specialize } from '../grad/specialize.ts'
import { type DropoutMask, type RunningStatistics, trainingForm } from '../grad/training-form.ts'
import { model as makeModel, nameSource, valueInfo } from '../graph/build.ts'
import { constantsOf, type StoredConstant } from '../graph/constants.ts'
import { capturedBy } from '../graph/walk.ts'
import {
  type Graph,
  irVersionOf,
  isOnnxDomain,
  type Model,
  type Node,
  opsetOf,
  type Tensor,
  type ValueInfo,
} from '../model.ts'
import { concat, createEmitter, type Emitter, mul, reshape, type Shape, sum } from '../ops/grad/emit.ts'
import { floats, sizeOf } from '../tensor/dtype.ts'
import { byRows, rowsOf } from './elementwise-rows.ts'
import { emitLoss, type LossGraph, type LossOptions, lossInput, type StateInput } from './loss-graph.ts'
import type { Optimizer } from './optimizers.ts'
import { trainableNames, untrainedWeights, whyUntrained } from './parameters.ts'
import type { Member, Noise } from './regime.ts'

export interface StepOptions extends LossOptions {
  /** Of every input of the model, those of noise and state too. */
  readonly inputShapes: Readonly<Record<string, Shape>>
  readonly optimizer: Optimizer
  readonly engine: Engine
  /** Regimes that have entered the model. */
  readonly members?: readonly Member[]
  /** See `LossGraphOptions`. */
  readonly epoch?: number
  /** A factor of the main loss, default 1; at 0 the step has no target. */
  readonly mainLoss?: number
  /** Names of the parameters to train; default: all weights. */
  readonly parameters?: readonly string[]
  /** Keeps BatchNormalization at its stored statistics. */
  readonly frozenStatistics?: boolean
  /** Which parameters weight decay applies to; default: those with two axes or more. */
  readonly decays?: (name: string, shape: Shape) => boolean
  /** Scales the gradient down where its norm over all parameters is larger. */
  readonly clipNorm?: number
}

/** A vector of state: several parameters, or one slot of the optimiser for them. */
export interface StateVector {
  /** The step model's input and output. */
  readonly input: string
  readonly output: string
  readonly size: number
  readonly shape: Shape
  /** `weight` or the slot's name. */
  readonly slot: string
  /** See `SessionState`. */
  readonly replaces?: string
  readonly parts: readonly { readonly parameter: StoredParameter; readonly offset: number; readonly size: number }[]
}

export interface StepGraph extends Omit<LossGraph, 'loss'> {
  readonly model: Model
  /** The initial weights, by name. */
  readonly weights: ReadonlyMap<string, Tensor>
  readonly state: readonly StateVector[]
  /** What the main loss compares the output with; no input of the model where its factor is 0. */
  readonly target: ValueInfo
  readonly lossOutput: string
  /** What the loss reads. */
  readonly output: string
  /** One vector of every BatchNormalization's mean and variance, in the order of `statistics`; absent without any. */
  readonly statisticsOutput?: string
  readonly statistics: readonly RunningStatistics[]
  /** What is drawn for each step: masks of Dropout, then what regimes ask for. */
  readonly noise: readonly StepNoise[]
  readonly parameters: readonly StoredParameter[]
  /** Weights of layers that no step changes, each with why: "is of int8". */
  readonly untrained: readonly { readonly name: string; readonly why: string }[]
  readonly scalarInput: (name: string) => string
}

export interface StepNoise extends Noise {
  readonly shape: Shape
}

/** Weights and their codebooks: the zero of a codebook stands for all weights that are zero. */
function weightNames(model: Model): Set<string> {
  const tables = new Set(model.graph.nodes.flatMap((n) => (n.op === 'Gather' ? [n.inputs[0]] : [])))
  const isWeight = ({ role, name }: StoredConstant): boolean =>
    role === 'weight' || (role === 'factor' && tables.has(name))
  return new Set(
    constantsOf(model)
      .filter(isWeight)
      .map((c) => c.name),
  )
}

/** Elements from which a parameter gets a vector of its own. */
const ownVector = 1 << 16

export function buildStep(model: Model, options: StepOptions): StepGraph {
  const { members = [], mainLoss = 1 } = options
  const own = members.flatMap((m) => ownParameters(m, model))
  // 1. One input size: every shape is a number from here on, so that gradients need no shape arithmetic.
  const special = specialize(model, options.inputShapes, own)
  // 2. What is trained: what the caller names or all weights, and what regimes add. A branch of an If stores weights that no
  //    step can write back, so these are left out.
  const usual = options.parameters ?? trainableNames(special.graph).filter((name) => isStored(model, name))
  const names = [...new Set([...usual, ...own])]
  // 3. Forward, as training computes it (Dropout masked, statistics of the batch), and the loss behind it.
  const form = trainingForm(special, options)
  const forward = createEmitter(form.types, nameSource(form.graph))
  const output = lossInput(forward, special.graph, options)
  const shape = forward.shape(output)
  const target = valueInfo(forward.fresh('target'), 'float32', shape)
  forward.types.set(target.name, { dtype: 'float32', shape })
  const { loss, ...fromMembers } = emitLoss(forward, {
    loss: options.loss,
    mainLoss,
    output,
    target: target.name,
    parameters: names,
    members,
    epoch: options.epoch,
  })
  // 4. Backward. A parameter without a gradient does not change the loss: it stays, and is reported.
  const result = backward(grown(form, forward), loss, names)
  const trained = names.flatMap((name) => {
    const gradient = result.gradients.get(name)
    return gradient ? [{ name, gradient }] : []
  })
  if (trained.length === 0) throw new Error(sayNothingToTrain(special.graph))
  // 5. In the engine's operators and layout. What is read beside the gradients is named, so that the engine keeps it: the loss,
  //    the output for the accuracy, the batch's statistics, what regimes compute for the next step.
  const vectors = form.statistics.flatMap((s) => [s.batchMean, s.batchVariance])
  const nexts = fromMembers.stateOutputs.map((s) => s.output)
  const lowered = options.engine.lower(result, trained, [loss, output, ...vectors, ...nexts])
  // 6. The update, on vectors that hold many parameters: each tensor that crosses into the runtime costs time. For the same
  //    reason all statistics leave as one.
  const g = createEmitter(lowered.types, nameSource(lowered.graph))
  const layerWeights = weightNames(special.model)
  const update = emitUpdate(g, lowered.parameters, { ...options, weights: special.graph.initializers, layerWeights })
  const statisticsOutput = vectors.length > 0 ? concat(g, vectors, 0) : undefined
  const graph = grown(lowered, g).graph
  // 7. The step as a model of its own. Its inputs: the batch, the target, what regimes are fed, the optimiser's numbers (rates
  //    differ from step to step), the state. Weights that are stored come in as state and are no longer constants.
  const stateInputs = update.state.map((s) => valueInfo(s.input, 'float32', s.shape))
  const scalars = Object.values(update.scalars).map((name) => valueInfo(name, 'float32', []))
  const memberInputs = [...fromMembers.fed, ...fromMembers.stateInputs].map((i) =>
    valueInfo(i.input, 'float32', i.shape),
  )
  const fed = form.graph.inputs.filter((i) => !model.graph.initializers.has(i.name))
  const batchInputs = fed.map((i) => valueInfo(i.name, i.dtype ?? 'float32', form.types.get(i.name)?.shape))
  const outputs = [
    ...[loss, output, ...(statisticsOutput ? [statisticsOutput] : []), ...nexts],
    ...update.state.map((s) => s.output),
  ]
  const step = makeModel(
    {
      name: 'training step',
      nodes: [...update.head, ...graph.nodes],
      initializers: usedInitializers([...update.head, ...graph.nodes], graph),
      inputs: [...batchInputs, ...(mainLoss > 0 ? [target] : []), ...memberInputs, ...scalars, ...stateInputs],
      outputs: outputs.map((name) => valueInfo(name, 'float32', g.shape(name))),
    },
    special.model.opsets.find((o) => isOnnxDomain(o.domain))?.version,
  )
  const extra = special.model.opsets.filter((o) => !isOnnxDomain(o.domain))
  const weights = new Map(trained.map(({ name }) => [name, special.graph.initializers.get(name) as Tensor]))
  return {
    model: {
      ...step,
      irVersion: irVersionOf(opsetOf(step)),
      opsets: [...step.opsets, ...extra, ...(lowered.opsets ?? [])],
    },
    weights,
    state: update.state,
    target,
    lossOutput: loss,
    output,
    statisticsOutput,
    statistics: form.statistics,
    ...fromMembers,
    stateInputs: [...fromMembers.stateInputs, ...members.flatMap(stateOfModel)],
    noise: [
      ...form.masks.map(dropoutNoise),
      ...members.flatMap((m) => m.noise ?? []).map((n) => ({ ...n, shape: shapeOfNoise(n, options) })),
    ],
    parameters: lowered.parameters,
    untrained: untrainedWeights(special.graph, [...weights.keys()]).map((name) => ({
      name,
      why: whyUntrained(special.graph, name),
    })),
    scalarInput: (name) => update.scalars[name],
  }
}

/** Throws where the model does not store one. */
function ownParameters({ id, parameters = [] }: Member, model: Model): readonly string[] {
  const missing = parameters.find((name) => !isStored(model, name))
  if (missing) throw new Error(`${id}: the model stores no "${missing}" to train`)
  return parameters
}

/** The state that the model itself reads. */
function stateOfModel(member: Member): StateInput[] {
  return Object.entries(member.state ?? {}).flatMap(([name, { input, shape }]) =>
    input === undefined ? [] : [{ member, name, input, shape }],
  )
}

/** A mask of Dropout: 0 with probability `ratio`, else 1 / (1 - ratio). */
function dropoutNoise({ input, shape, ratio }: DropoutMask): StepNoise {
  const keep = Math.fround(1 / (1 - ratio))
  return {
    input,
    shape,
    draw(values, rng) {
      for (let i = 0; i < values.length; i++) values[i] = rng.next() < ratio ? 0 : keep
    },
  }
}

function shapeOfNoise({ input }: Noise, { inputShapes }: StepOptions): Shape {
  const shape = inputShapes[input]
  if (!shape) throw new Error(`training step: the shape of the noise "${input}" is not known`)
  return shape
}

function sayNothingToTrain(graph: Graph): string {
  const names = untrainedWeights(graph, [])
  const types = [...new Set(names.map((name) => graph.initializers.get(name)?.dtype ?? 'computed'))]
  const why =
    names.length > 0
      ? `its weights (${names.slice(0, 3).join(', ')}${names.length > 3 ? ', ...' : ''}) are ${types.join(', ')}`
      : 'no layer before the output that is learnt stores any'
  return `train: the model has no weights that can be trained: ${why}; expected float32 weights in layers that have a gradient`
}

/** Whether the model itself stores it, as an initialiser or a Constant (and not a branch of an If). */
function isStored({ graph }: Model, name: string): boolean {
  return graph.initializers.has(name) || graph.nodes.some((n) => n.op === 'Constant' && n.outputs[0] === name)
}

interface Update {
  /** Nodes that take the state apart; they come before all others. */
  readonly head: Emitter['nodes']
  readonly state: readonly StateVector[]
  /** The input of each of the optimiser's scalars. */
  readonly scalars: Readonly<Record<string, string>>
}

type UpdateOptions = Pick<StepOptions, 'optimizer' | 'engine' | 'members' | 'decays' | 'clipNorm'> & {
  readonly weights: ReadonlyMap<string, Tensor>
  /** Names of what layers multiply with. */
  readonly layerWeights: ReadonlySet<string>
}

function emitUpdate(g: Emitter, parameters: readonly StoredParameter[], options: UpdateOptions): Update {
  const { optimizer, engine } = options
  const groups = groupsOf(parameters, options)
  const scalars = Object.fromEntries(
    Object.keys(optimizer.scalars(0, 0)).map((name) => {
      const input = g.fresh(`scalar_${name}`)
      g.types.set(input, { dtype: 'float32', shape: [] })
      return [name, input]
    }),
  )
  const head: Emitter['nodes'] = []
  const gradients = groups.map(({ members, padding }) => {
    const parts = members.map((p) => reshape(g, p.gradient, [sizeOf(p.storedShape)]))
    const whole = concat(g, padding > 0 ? [...parts, g.constant(0, 'float32', [padding])] : parts, 0)
    return reshape(g, whole, vectorShape(engine, g.shape(whole)[0]))
  })
  const clipped = options.clipNorm ? clipByNorm(g, gradients, options.clipNorm) : gradients
  const state: StateVector[] = []
  groups.forEach(({ members, decays, padding }, i) => {
    const size = members.reduce((n, p) => n + sizeOf(p.storedShape), padding)
    const shape = vectorShape(engine, size)
    const input = (slot: string): string => {
      const name = g.fresh(`state_${slot}`)
      g.types.set(name, { dtype: 'float32', shape })
      return name
    }
    const weight = input('weight')
    const slots = optimizer.slots.map(input)
    const before = g.nodes.length
    takeApart(g, reshape(g, weight, [size]), members, padding)
    head.push(...g.nodes.splice(before))
    let replaces = false
    const update = (e: Emitter, [weight, gradient, ...rest]: readonly string[]): string[] => {
      const slots = rest.slice(0, optimizer.slots.length)
      const mask = rest[slots.length]
      const updated = optimizer.update(e, { engine, weight, gradient, slots, scalars, decays })
      const masked = mask ? mul(e, updated.weight, mask) : updated.weight
      replaces = slots.length > 0 && isDoneWith(e.nodes, slots[0], masked)
      return [masked, ...updated.slots]
    }
    const mask = maskOf(members, size, options)
    const masks = mask ? [g.constant(mask, 'float32', shape)] : []
    const values = [weight, clipped[i], ...slots, ...masks]
    const outputs = rowsOf(size) ? byRows(g, values, update) : update(g, values)
    const parts = partsOf(members)
    const names = ['weight', ...optimizer.slots]
    outputs.forEach((output, k) => {
      const replaced = k === 0 && replaces ? { replaces: slots[0] } : {}
      state.push({ input: [weight, ...slots][k], output, size, shape, slot: names[k], parts, ...replaced })
    })
  })
  return { head, state, scalars }
}

/** The shape in which a vector of that size crosses into the runtime and is updated. */
function vectorShape(engine: Engine, size: number): Shape {
  return rowsOf(size) ?? engine.vectorShape(size)
}

/** Whether everything that reads `value` comes before `result` is computed, and makes something of its own of it. */
function isDoneWith(nodes: readonly Node[], value: string, result: string): boolean {
  const before = new Set([result])
  for (const node of [...nodes].reverse()) {
    if (node.outputs.some((o) => before.has(o))) for (const input of node.inputs) before.add(input)
  }
  const makesView = (op: string): boolean => ['Identity', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten'].includes(op)
  return nodes.every((n) => !n.inputs.includes(value) || (before.has(n.outputs[0]) && !makesView(n.op)))
}

/** The gradients, scaled by min(1, limit / norm). */
function clipByNorm(g: Emitter, gradients: readonly string[], limit: number): string[] {
  const squares = gradients.map((v) => sum(g, mul(g, v, v)))
  const norm = g.op('Sqrt', [squares.reduce((a, b) => g.op('Add', [a, b]))])
  const factor = g.op('Min', [g.op('Div', [g.constant(limit), norm]), g.constant(1)])
  return gradients.map((v) => mul(g, v, factor))
}

function groupsOf(parameters: readonly StoredParameter[], options: UpdateOptions) {
  const decays = options.decays ?? ((_: string, shape: Shape) => shape.length >= 2)
  const own = parameters.filter((p) => sizeOf(p.storedShape) >= ownVector)
  const shared = parameters.filter((p) => sizeOf(p.storedShape) < ownVector)
  const groups = own.map((p) => ({ members: [p], decays: decays(p.name, p.shape) }))
  for (const kind of [true, false]) {
    const members = shared.filter((p) => decays(p.name, p.shape) === kind)
    if (members.length > 0) groups.push({ members, decays: kind })
  }
  return groups.map((group) => {
    const size = group.members.reduce((n, p) => n + sizeOf(p.storedShape), 0)
    return { ...group, padding: -size & (options.engine.alignment - 1) }
  })
}

function partsOf(members: readonly StoredParameter[]): StateVector['parts'] {
  let offset = 0
  return members.map((parameter) => {
    const size = sizeOf(parameter.storedShape)
    offset += size
    return { parameter, offset: offset - size, size }
  })
}

/** Emits the nodes that give each parameter its value out of the vector, which ends in `padding` zeros. */
function takeApart(g: Emitter, vector: string, members: readonly StoredParameter[], padding: number): void {
  const sizes = [...members.map((p) => sizeOf(p.storedShape)), ...(padding > 0 ? [padding] : [])]
  const types = sizes.map((size) => ({ dtype: 'float32', shape: [size] }) as const)
  const pieces =
    sizes.length === 1 ? [vector] : g.ops('Split', [vector, g.ints(sizes)], types, { attributes: { axis: 0 } })
  members.forEach((p, i) => {
    g.nodes.push({ op: 'Reshape', inputs: [pieces[i], g.ints(p.storedShape)], outputs: [p.value], attributes: {} })
  })
}

function maskOf(members: readonly StoredParameter[], size: number, options: UpdateOptions): Float32Array | undefined {
  const parts = members.map((p) => {
    const tensor = options.weights.get(p.name)
    const values = tensor ? floats(tensor) : new Float32Array(sizeOf(p.shape))
    let mask: Float32Array | undefined
    for (const projection of (options.members ?? []).flatMap((m) => m.projections ?? [])) {
      const isWeight = options.layerWeights.has(p.name)
      const more = projection.mask?.({ name: p.name, values, shape: p.shape, isWeight })
      if (more) mask = mask ? mask.map((v, i) => v * more[i]) : more
    }
    return mask && p.pack(mask)
  })
  if (parts.every((m) => m === undefined)) return undefined
  const whole = new Float32Array(size).fill(1)
  partsOf(members).forEach(({ offset }, i) => {
    const part = parts[i]
    if (part) whole.set(part, offset)
  })
  return whole
}

function usedInitializers(nodes: readonly Node[], graph: Graph): Map<string, Tensor> {
  const used = new Set(nodes.flatMap((n) => [...n.inputs, ...capturedBy(n)]))
  return new Map([...graph.initializers].filter(([name]) => used.has(name)))
}
