/** What the changes of an operator set are written with (upgrade.ts). */
import { UnsupportedError } from '../errors.ts'
import { describe } from '../graph/walk.ts'
import type { Attribute, Node, Tensor } from '../model.ts'
import { movedAt } from '../ops/operator-sets.ts'
import type { Known } from '../ops/shape.ts'
import { type DataType, floatTensor, integerTensor, isFloat, tensorOfFloats } from '../tensor/dtype.ts'

export interface Step {
  readonly node: Node
  readonly known: (name: string) => Known
  /** Stores a constant and gives its name. */
  readonly constant: (base: string, make: (name: string) => Tensor) => string
  readonly fresh: (base: string) => string
}

/** The node as the version it is listed under has it; several nodes where one does not do. */
export type Change = (step: Step) => Node | readonly Node[]

/** By operator, the versions at which a node must be written differently. */
export type Changes = Readonly<Record<string, Readonly<Record<number, Change>>>>

/** The node without some attributes. */
export function without(node: Node, ...names: string[]): Node {
  if (!names.some((n) => Object.hasOwn(node.attributes, n))) return node
  return {
    ...node,
    attributes: Object.fromEntries(Object.entries(node.attributes).filter(([n]) => !names.includes(n))),
  }
}

/** A list of int64 as a stored constant. */
export function ints(step: Step, name: string, list: readonly number[]): string {
  // The largest int64 stands for "to the end"; a double holds it only nearly.
  const values = list.map((v) => Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, v)))
  return step.constant(`${step.node.outputs[0]}_${name}`, (n) => integerTensor(n, 'int64', [values.length], values))
}

/** A scalar of the type of the node's first input. */
export function scalar(step: Step, name: string, value: number): string {
  const dtype: DataType | undefined = step.known(step.node.inputs[0]).dtype
  if (!dtype || !isFloat(dtype))
    throw new UnsupportedError(`${describe(step.node)}: its "${name}" for ${dtype ?? 'an unknown type'}`)
  return step.constant(`${step.node.outputs[0]}_${name}`, (n) => tensorOfFloats(n, dtype, [], Float64Array.of(value)))
}

/** The node with the attributes that became inputs in an operator set (ops/operator-sets.ts) stored and read as inputs. */
export function withMovedAttributes(step: Step, version: number): Node {
  const { node } = step
  const moved = movedAt(node.op, version).filter(([name]) => node.attributes[name])
  if (moved.length === 0) return node
  const inputs = [...node.inputs]
  for (const [name, at] of moved) {
    while (inputs.length < at) inputs.push('')
    inputs[at] = storedAttribute(step, name, node.attributes[name])
  }
  return { ...without(node, ...moved.map(([name]) => name)), inputs }
}

function storedAttribute(step: Step, name: string, attribute: Attribute): string {
  const { type, value } = attribute
  if (type === 'ints') return ints(step, name, value.map(Number))
  if (type === 'int') return ints(step, name, [Number(value)])
  if (type === 'float') return scalar(step, name, value)
  if (type === 'floats')
    return step.constant(`${step.node.outputs[0]}_${name}`, (n) => floatTensor(n, [value.length], value))
  throw new UnsupportedError(`${describe(step.node)}: attribute "${name}" is of type ${type}; expected numbers`)
}

/** For outputs that newer versions give another meaning. */
export const onlyFirst =
  (change: Change): Change =>
  (step) => {
    if (step.node.outputs.slice(1).some((o) => o))
      throw new UnsupportedError(`${describe(step.node)}: its outputs after the first changed their meaning`)
    return change(step)
  }
