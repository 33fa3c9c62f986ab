/** The loss as part of a step's graph: the main loss on the model's output, and the terms that regimes add. */
import { logitsOf } from '../grad/training-form.ts'
import { finalSigmoid } from '../graph/final-softmax.ts'
import type { Graph } from '../model.ts'
import { add, type Emitter, reshape, type Shape, scale, transpose } from '../ops/grad/emit.ts'
import { type Loss, type LossName, logitLosses, losses } from './losses.ts'
import type { Member, StateScope, Term } from './regime.ts'

export interface LossOptions {
  readonly loss: LossName | Loss
  /** The value that the loss reads (of a final Softmax or Sigmoid, what goes into it); default: the first output. */
  readonly output?: string
  /** The axis of its classes; default: the last. */
  readonly axis?: number
}

/** The value that the loss works on, with classes along its last axis where it says which axis they are. */
export function lossInput(
  g: Emitter,
  graph: Graph,
  { loss, output = graph.outputs[0].name, axis }: LossOptions,
): string {
  const { length: rank } = g.shape(output)
  if (loss === 'binary-cross-entropy') return finalSigmoid(graph, output)?.inputs[0] ?? output
  if (typeof loss !== 'string' || !logitLosses.has(loss)) return output
  if (axis === undefined) return logitsOf(graph, output, { rank })
  const logits = logitsOf(graph, output, { rank, axis })
  // What is taken off in front of a Softmax over rows has its classes last already.
  return g.shape(logits).length === rank ? classesLast(g, logits, axis < 0 ? axis + rank : axis) : logits
}

function classesLast(g: Emitter, value: string, axis: number): string {
  const shape = g.shape(value)
  if (axis === shape.length - 1) return value
  if (shape.slice(axis + 1).every((d) => d === 1)) return reshape(g, value, shape.slice(0, axis + 1))
  return transpose(g, value, [...[...shape.keys()].filter((i) => i !== axis), axis])
}

/** An input of the step that a term gives a value for at every step. */
export interface FedInput {
  readonly member: Member
  readonly term: Term
  /** What the term calls it. */
  readonly name: string
  readonly input: string
  readonly shape: Shape
}

/** An input of the step that takes a member's state, and the output that gives it back where the step computes it. */
export interface StateInput {
  readonly member: Member
  readonly name: string
  readonly input: string
  readonly shape: Shape
}

/** A state tensor that the step itself computes anew. */
export interface StateOutput {
  readonly member: Member
  readonly name: string
  readonly output: string
}

export interface LossGraph {
  /** A scalar. */
  readonly loss: string
  readonly fed: readonly FedInput[]
  readonly stateInputs: readonly StateInput[]
  readonly stateOutputs: readonly StateOutput[]
}

export interface LossGraphOptions {
  readonly loss: LossName | Loss
  /** A factor of the main loss; at 0 `target` is not read. */
  readonly mainLoss: number
  /** What `lossInput` gave. */
  readonly output: string
  readonly target: string
  /** Names of the parameters that are trained. */
  readonly parameters: readonly string[]
  readonly members: readonly Member[]
  /** Terms that count from a later one are left out; default: none is. */
  readonly epoch?: number
}

/** Emits the whole loss: mainLoss · loss(output, target) + Σ terms. Throws where there is neither. */
export function emitLoss(g: Emitter, options: LossGraphOptions): LossGraph {
  const { loss, mainLoss, output, target, parameters, members, epoch = Number.POSITIVE_INFINITY } = options
  const fed: FedInput[] = []
  const stateInputs: StateInput[] = []
  const stateOutputs: StateOutput[] = []
  const addends: string[] = []
  const main = { output, loss, ...(mainLoss > 0 ? { target } : {}) }
  if (mainLoss > 0) {
    const own = (typeof loss === 'string' ? losses[loss] : loss)(g, output, target)
    addends.push(mainLoss === 1 ? own : scale(g, own, mainLoss))
  }
  for (const member of members) {
    const scope = stateScope(g, member, stateInputs)
    for (const term of (member.terms ?? []).filter(({ from = 0 }) => from <= epoch)) {
      const inputs = new Map<string, FedInput>()
      const asked = (name: string, shape: Shape): string => {
        const input = inputs.get(name) ?? { member, term, name, input: g.fresh(`${member.id}_${name}`), shape }
        inputs.set(name, input)
        g.types.set(input.input, { dtype: 'float32', shape })
        return input.input
      }
      addends.push(reshape(g, term.emit(g, { ...scope, ...main, parameters, fed: asked }), []))
      fed.push(...inputs.values())
    }
    for (const [name, { shape, next }] of Object.entries(member.state ?? {})) {
      if (!next) continue
      const value = next(g, scope)
      if (`${g.shape(value)}` !== `${shape}`)
        throw new Error(`${member.id}: state "${name}" becomes [${g.shape(value)}]; expected [${shape}], as it begins`)
      stateOutputs.push({ member, name, output: g.op('Identity', [value]) })
    }
  }
  if (addends.length === 0)
    throw new Error('train: the main loss has factor 0 and no regime adds a term; expected something to learn from')
  const total = addends.reduce((a, b) => add(g, a, b))
  return { loss: reshape(g, total, []), fed, stateInputs, stateOutputs }
}

/** State becomes an input of the step once somebody reads it. */
function stateScope(g: Emitter, member: Member, inputs: StateInput[]): StateScope {
  const known = new Map<string, string>()
  return {
    value(name) {
      g.shape(name) // throws where there is none of that name
      return name
    },
    state(name) {
      const before = known.get(name)
      if (before) return before
      const tensor = member.state?.[name]
      if (!tensor) throw new Error(`${member.id}: it reads the state "${name}", which it does not have`)
      const input = g.fresh(`${member.id}_state`)
      g.types.set(input, { dtype: 'float32', shape: tensor.shape })
      inputs.push({ member, name, input, shape: tensor.shape })
      known.set(name, input)
      return input
    },
  }
}
