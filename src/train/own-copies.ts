/**
 * Parameters that only look shared. Exporters store equal tensors once: PyTorch's older one puts an Identity in every other
 * place, newer ones let all places read one name. So in a network that is not trained yet all scales of normalisations are one
 * tensor of ones, running variances too, and all offsets one of zeros. Each gets a copy of its own before training.
 *
 * What stays shared: tensors of other values, which are equal because the network shares them; and those of layers that share
 * such a tensor, which are one layer that is applied several times.
 */
import { editGraph } from '../graph/edit.ts'
import { placeOf } from '../graph/roles.ts'
import { type Graph, isOnnxDomain, type Model, type Node, type Tensor } from '../model.ts'
import { rename } from '../simplify/fold.ts'
import { floats, isFloat, sizeOf } from '../tensor/dtype.ts'

/** The model with copies, and without Identity nodes of stored tensors; the model itself where there is nothing to do. */
export function withOwnCopies(model: Model): Model {
  return splitReaders(withoutIdentities(model))
}

/** Whether it has one value throughout: what parameters begin with, and what is equal by chance. */
export function isUniform(tensor: Tensor): boolean {
  const values = floats(tensor)
  return values.every((v) => v === values[0])
}

/** Identity nodes of stored floats: what reads one reads a copy, or the tensor itself where that is shared on purpose. */
function withoutIdentities(model: Model): Model {
  const { graph } = model
  const edit = editGraph(model)
  const given = new Set([...graph.inputs, ...graph.outputs].map((v) => v.name))
  const shared = new Map<string, string>()
  const nodes = graph.nodes.flatMap((node) => {
    const [name] = node.outputs
    const tensor = isIdentity(node) ? parameterOf(edit.stored(shared.get(node.inputs[0]) ?? node.inputs[0])) : undefined
    if (!tensor || given.has(name) || given.has(tensor.name)) return [node]
    if (isUniform(tensor)) edit.store({ ...tensor, name }, tensor.name)
    else shared.set(name, tensor.name)
    return []
  })
  if (nodes.length === graph.nodes.length) return model
  return edit.finishWith(nodes.map((node) => rename(node, shared)))
}

/** Tensors of one value that several layers read under one name. */
function splitReaders(model: Model): Model {
  const { graph } = model
  const edit = editGraph(model)
  const given = new Set([...graph.inputs, ...graph.outputs].map((v) => v.name))
  // What arithmetic reads as well keeps the tensor: it is no parameter there.
  const owners = new Map<string, Map<string, string>>()
  for (const node of graph.nodes)
    for (const [input, name] of node.inputs.entries())
      if (!isRead(node, input)) owners.set(name, new Map([['arithmetic', name]]))
  for (const [at, node] of graph.nodes.entries()) {
    const inputs = node.inputs.map((name, input) => {
      const tensor = parameterOf(graph.initializers.get(name))
      if (!tensor || given.has(name) || sizeOf(tensor.dims) === 1 || !isRead(node, input) || !isUniform(tensor))
        return name
      const copies = owners.get(name) ?? new Map<string, string>()
      owners.set(name, copies)
      const owner = `${sharedBy(graph, node) || at} ${input}`
      const own = copies.get(owner) ?? (copies.size === 0 ? name : copyOf(tensor))
      copies.set(owner, own)
      return own
    })
    if (inputs.some((name, i) => name !== node.inputs[i])) edit.replace(node, [{ ...node, inputs }])
  }
  return edit.finish()

  function copyOf(tensor: Tensor): string {
    return edit.store({ ...tensor, name: edit.fresh(`${tensor.name}_own`) }, tensor.name)
  }
}

const isIdentity = (node: Node): boolean => node.op === 'Identity' && isOnnxDomain(node.domain)

/** A stored tensor that could be a parameter. */
function parameterOf(tensor: Tensor | undefined): Tensor | undefined {
  return tensor && isFloat(tensor.dtype) && tensor.dims.length > 0 ? tensor : undefined
}

/** Whether the node reads a parameter there: as a layer or a normalisation does, or in another shape for one that does. */
function isRead(node: Node, input: number): boolean {
  if (['Reshape', 'Unsqueeze'].includes(node.op)) return input === 0
  return ['bias', 'norm', 'statistic'].includes(placeOf(node, input)?.role ?? '')
}

/** Names of the stored tensors that the node reads and that are no start values: they say which layer it is. */
function sharedBy({ initializers }: Graph, { inputs }: Node): string {
  const known = inputs.filter((name) => {
    const tensor = parameterOf(initializers.get(name))
    return tensor && !isUniform(tensor)
  })
  return known.join(' ')
}
