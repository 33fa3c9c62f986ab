/** Looking around in a graph: producers, consumers, attributes, constants, nested graphs. */
import { UnsupportedError } from '../errors.ts'
import type { Attribute, Graph, Int, Model, Node, Tensor } from '../model.ts'
import { byteLengthOf, sizeOf } from '../tensor/dtype.ts'

/** Which node makes each value. */
export function producersOf(graph: Graph): Map<string, Node> {
  const producers = new Map<string, Node>()
  for (const node of graph.nodes) for (const output of node.outputs) if (output) producers.set(output, node)
  return producers
}

/** Which nodes read each value, nested graphs included (the node of the outer graph is named). */
export function consumersOf(graph: Graph): Map<string, Node[]> {
  const consumers = new Map<string, Node[]>()
  for (const node of graph.nodes) {
    for (const name of new Set([...node.inputs, ...capturedBy(node)])) {
      if (!name) continue
      const list = consumers.get(name)
      if (list) list.push(node)
      else consumers.set(name, [node])
    }
  }
  return consumers
}

/** The graphs inside a node's attributes (If, Loop, Scan). */
export function subgraphsOf(node: Node): Graph[] {
  const graphs: Graph[] = []
  for (const a of Object.values(node.attributes)) {
    if (a.type === 'graph') graphs.push(a.value)
    else if (a.type === 'graphs') graphs.push(...a.value)
  }
  return graphs
}

/** Outer values that a node's nested graphs read. */
export function capturedBy(node: Node): Set<string> {
  const captured = new Set<string>()
  for (const graph of subgraphsOf(node)) {
    const own = new Set([...graph.inputs.map((i) => i.name), ...storedNames(graph)])
    for (const inner of graph.nodes) {
      for (const name of [...inner.inputs, ...capturedBy(inner)]) if (name && !own.has(name)) captured.add(name)
      for (const name of inner.outputs) own.add(name)
    }
    for (const output of graph.outputs) if (!own.has(output.name)) captured.add(output.name)
  }
  return captured
}

/** Every graph of a model, outermost first: the main graph and the nested ones. (Local functions are `model.functions`.) */
export function* graphsOf(model: Model): Generator<Graph> {
  const pending: Graph[] = [model.graph]
  for (const fn of model.functions ?? []) for (const node of fn.nodes) pending.push(...subgraphsOf(node))
  for (let graph = pending.shift(); graph; graph = pending.shift()) {
    yield graph
    for (const node of graph.nodes) pending.push(...subgraphsOf(node))
  }
}

export interface StoredTensor {
  readonly tensor: Tensor
  /** Where it is: an initialiser of a graph, or an attribute of a node. */
  readonly graph: Graph
  readonly node?: Node
}

/** Every tensor that a model stores: initialisers and tensor attributes, the parts of sparse ones, nested graphs and local functions included. */
export function* tensorsOf(model: Model): Generator<StoredTensor> {
  for (const graph of graphsOf(model)) {
    for (const tensor of graph.initializers.values()) yield { tensor, graph }
    for (const { values, indices } of graph.sparseInitializers ?? []) {
      yield { tensor: values, graph }
      yield { tensor: indices, graph }
    }
    for (const node of graph.nodes) for (const tensor of attributeTensors(node)) yield { tensor, graph, node }
  }
  for (const fn of model.functions ?? []) {
    for (const node of fn.nodes) for (const tensor of attributeTensors(node)) yield { tensor, graph: model.graph, node }
  }
}

/** The two tensors, values and places, that each sparse tensor is stored as, by the name of the value that it is. */
export function sparseParts(model: Model): Map<string, readonly Tensor[]> {
  const parts = new Map<string, readonly Tensor[]>()
  for (const graph of graphsOf(model)) {
    for (const { values, indices } of graph.sparseInitializers ?? []) parts.set(values.name, [values, indices])
    for (const node of graph.nodes) {
      const sparse = node.attributes.sparse_value
      if (sparse?.type === 'sparse-tensor') parts.set(node.outputs[0], [sparse.value.values, sparse.value.indices])
    }
  }
  return parts
}

/** How options and reports name a node: by its name, or its first output where it has none. */
export function nodeName({ name, outputs }: Node): string {
  return name || outputs[0]
}

/** Bytes of all stored tensors. */
export function storedBytes(model: Model): number {
  let bytes = 0
  for (const { tensor } of tensorsOf(model)) bytes += bytesOfTensor(tensor)
  return bytes
}

/** By type and shape: the data itself may lie in a file that is read only where it is needed. */
export function bytesOfTensor({ dtype, dims, strings }: Tensor): number {
  if (strings) return strings.reduce((sum, s) => sum + s.byteLength, 0)
  return byteLengthOf(dtype, sizeOf(dims))
}

/** Bytes of the numbers or texts that an attribute lists, as files store them; 0 of any other attribute. */
export function bytesOfList(a: Attribute): number {
  if (a.type === 'floats') return 4 * a.value.length
  if (a.type === 'ints') return a.value.reduce<number>((sum, v) => sum + bytesOfInt(v), 0)
  if (a.type === 'strings') return a.value.reduce((sum, s) => sum + utf8Length(s), 0)
  return 0
}

/** A varint has 7 bits a byte; one below zero has all 64. */
function bytesOfInt(value: Int): number {
  if (value < 0) return 10
  let bytes = 1
  for (let above = 128; value >= above; above *= 128) bytes++
  return bytes
}

function utf8Length(text: string | Uint8Array): number {
  return typeof text === 'string' ? new TextEncoder().encode(text).length : text.length
}

function attributeTensors(node: Node): Tensor[] {
  const tensors: Tensor[] = []
  for (const a of Object.values(node.attributes)) {
    if (a.type === 'tensor') tensors.push(a.value)
    else if (a.type === 'tensors') tensors.push(...a.value)
    else if (a.type === 'sparse-tensor') tensors.push(a.value.values, a.value.indices)
    else if (a.type === 'sparse-tensors') for (const s of a.value) tensors.push(s.values, s.indices)
  }
  return tensors
}

/** The names of a graph's initialisers, sparse ones too. */
export function storedNames(graph: Graph): Set<string> {
  return new Set([...graph.initializers.keys(), ...(graph.sparseInitializers ?? []).map((s) => s.values.name)])
}

/**
 * Whether a node draws random numbers, so that the same inputs give other outputs each time. A Dropout does where its third
 * input says so; `stored` gives constants by name, and without it what an input says is taken for yes.
 */
export function isRandom(
  { op, inputs }: Node,
  stored: (name: string) => Tensor | undefined = () => undefined,
): boolean {
  if (op === 'Dropout') return Boolean(inputs[2]) && stored(inputs[2])?.data[0] !== 0
  return /^Random|^Multinomial|^Bernoulli/.test(op)
}

/** How a message names a node: its name, or its op and first output. */
export function describe(node: Node): string {
  return `${node.domain ? `${node.domain}.` : ''}${node.op} "${node.name || node.outputs.find((o) => o) || ''}"`
}

/** An int attribute, clamped to what a double holds. */
export function intAttribute(node: Node, name: string, fallback: number): number {
  const a = expect(node, name, 'int')
  return a ? Number(a.value) : fallback
}

export function intsAttribute(node: Node, name: string): number[] | undefined {
  return expect(node, name, 'ints')?.value.map(Number)
}

export function floatAttribute(node: Node, name: string, fallback: number): number {
  return expect(node, name, 'float')?.value ?? fallback
}

export function stringAttribute(node: Node, name: string, fallback: string): string {
  const a = expect(node, name, 'string')
  return a ? String(a.value) : fallback
}

function expect<T extends Attribute['type']>(
  node: Node,
  name: string,
  type: T,
): Extract<Attribute, { type: T }> | undefined {
  const a = node.attributes[name]
  if (!a) return undefined
  if (a.type !== type)
    throw new UnsupportedError(`${describe(node)}: attribute "${name}" is of type ${a.type}; expected ${type}`)
  return a as Extract<Attribute, { type: T }>
}

/** The tensor that a value always is: an initialiser that no caller can override, or a Constant node's. */
export function constantOf(
  graph: Graph,
  name: string,
  producers: ReadonlyMap<string, Node> = producersOf(graph),
): Tensor | undefined {
  const initializer = graph.initializers.get(name)
  if (initializer) return initializer
  const node = producers.get(name)
  if (node?.op === 'Identity') return constantOf(graph, node.inputs[0], producers)
  if (node?.op !== 'Constant') return undefined
  const value = node.attributes.value
  return value?.type === 'tensor' ? value.value : undefined
}
