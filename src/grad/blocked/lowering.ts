/**
 * The blocked lowering: walks a training graph in order and computes what it can in blocked layout, the rest plainly.
 *
 * A value may be known in several forms: plain, blocked, a weight in stored form, or pending: a convolution or a
 * normalisation that is not emitted yet, since the sum and the activation that follow can become part of it.
 */
import { consumersOf, producersOf } from '../../graph/walk.ts'
import type { Node, Tensor } from '../../model.ts'
import { type Emitter, pad, type Shape, slice } from '../../ops/grad/emit.ts'
import { bytesOf, floats, integers } from '../../tensor/dtype.ts'
import type { TypedGraph } from '../backward.ts'
import type { Activation } from './kernels.ts'
import {
  blockActivation,
  blockWeight,
  padTo,
  storedWeightShape,
  unblockActivation,
  unblockWeight,
  type WeightKind,
  weightPacking,
} from './layout.ts'

export interface Pending {
  /** Emits it: plus `sum`, then the activation. Gives a blocked value. */
  emit(sum?: string, activation?: Activation): string
  /** Whether a sum can still be taken in. */
  readonly takesSum: boolean
}

/** A weight in stored form. */
export interface StoredWeight {
  readonly value: string
  readonly kind: WeightKind
}

export interface Lowering {
  readonly g: Emitter
  readonly block: number
  shape(name: string): Shape
  /** The node of the graph that makes a value; undefined for inputs and stored tensors. */
  producer(name: string): Node | undefined
  /** Whether a value is at hand in blocked form, or soon can be. */
  isBlocked(name: string): boolean
  plain(name: string): string
  blocked(name: string): string
  /** Takes what is pending, so that something can become part of it; undefined where others read it too. */
  takePending(name: string): Pending | undefined
  setPlain(name: string, value: string): void
  setBlocked(name: string, value: string): void
  setPending(name: string, pending: Pending): void
  setStored(name: string, weight: StoredWeight): void
  /** A weight in stored form; a trained one is stored so from its first use on. */
  stored(name: string, kind: WeightKind): string
  /** A [C] vector with zeros up to a multiple of the block. */
  vector(name: string): string
  /** The leading C elements of a padded vector. */
  cropVector(value: string, size: number): string
  /** An initialiser's values, for what must be known before it runs. */
  constant(name: string): Float32Array | undefined
  /** The same for whole numbers. */
  integers(name: string): readonly number[] | undefined
  /** The kind that a trained weight is stored as; undefined where it is plain. */
  storedKind(name: string): WeightKind | undefined
  /** Remembers something under a name, such as what a backward pass can use again. */
  readonly notes: Map<string, readonly string[]>
}

interface Forms {
  plain?: string
  blocked?: string
  pending?: Pending
  stored?: StoredWeight
}

export function createLowering(
  { graph, types }: TypedGraph,
  g: Emitter,
  options: { readonly block: number; readonly trained: ReadonlySet<string>; readonly wanted: ReadonlySet<string> },
): Lowering {
  const { block, trained, wanted } = options
  const forms = new Map<string, Forms>()
  const kinds = new Map<string, WeightKind>()
  const vectors = new Map<string, string>()
  /** Parameters that a node has read as the model has them: they stay so. */
  const readPlain = new Set<string>()
  const consumers = consumersOf(graph)
  const producers = producersOf(graph)
  const formOf = (name: string): Forms => {
    let form = forms.get(name)
    if (!form) forms.set(name, (form = { plain: name }))
    return form
  }
  const shape = (name: string): Shape => {
    const type = types.get(name)
    if (!type) throw new Error(`blocked lowering: the shape of "${name}" is not known`)
    return type.shape
  }
  const lowering: Lowering = {
    g,
    block,
    shape,
    producer: (name) => producers.get(name),
    notes: new Map(),
    isBlocked: (name) => {
      const form = formOf(name)
      return form.blocked !== undefined || form.pending !== undefined
    },
    plain(name) {
      const form = formOf(name)
      if (form.plain === name && trained.has(name)) readPlain.add(name)
      if (form.plain) return form.plain
      if (form.stored) form.plain = unblockWeight(g, form.stored.value, shape(name), form.stored.kind, block)
      else form.plain = unblockActivation(g, lowering.blocked(name), shape(name)[1])
      return form.plain
    },
    blocked(name) {
      const form = formOf(name)
      if (form.pending) {
        form.blocked = form.pending.emit()
        form.pending = undefined
      }
      form.blocked ??= blockActivation(g, lowering.plain(name), block)
      return form.blocked
    },
    takePending(name) {
      const form = formOf(name)
      const alone = (consumers.get(name) ?? []).length === 1 && !wanted.has(name)
      if (!form.pending || !alone) return undefined
      const { pending } = form
      forms.set(name, {
        get plain(): string {
          throw new Error(`blocked lowering: "${name}" has become part of what follows it`)
        },
      })
      return pending
    },
    setPlain: (name, value) => void forms.set(name, { plain: value }),
    setBlocked: (name, value) => void forms.set(name, { blocked: value }),
    setPending: (name, pending) => void forms.set(name, { pending }),
    setStored: (name, weight) => void forms.set(name, { stored: weight }),
    stored(name, kind) {
      const form = formOf(name)
      if (form.stored?.kind === kind) return form.stored.value
      const tensor = graph.initializers.get(name)
      if (trained.has(name) && !kinds.has(name) && !readPlain.has(name)) {
        // From here on the parameter lives in this form: its value is an input of that shape.
        kinds.set(name, kind)
        const value = g.fresh(`${name}_blocked`)
        g.types.set(value, { dtype: 'float32', shape: storedWeightShape(shape(name), kind, block) })
        forms.set(name, { stored: { value, kind } })
        return value
      }
      if (tensor && !trained.has(name)) return packedConstant(g, tensor, kind, block)
      return blockWeight(g, lowering.plain(name), kind, block)
    },
    vector(name) {
      const size = shape(name)[0]
      const padded = padTo(size, block)
      const known = vectors.get(name)
      if (known) return known
      const value = lowering.plain(name)
      const made = padded === size ? value : pad(g, value, [0, padded - size])
      vectors.set(name, made)
      return made
    },
    cropVector: (value, size) =>
      g.shape(value)[0] === size ? value : slice(g, value, { axes: [0], starts: [0], ends: [size] }),
    constant: (name) => {
      const tensor = graph.initializers.get(name)
      return tensor && !trained.has(name) ? floats(tensor) : undefined
    },
    integers: (name) => {
      const tensor = graph.initializers.get(name)
      return tensor?.dtype === 'int64' ? Array.from(integers(tensor)) : undefined
    },
    storedKind: (name) => kinds.get(name),
  }
  return lowering
}

/** A constant weight, rearranged now rather than at every step. */
function packedConstant(g: Emitter, tensor: Tensor, kind: WeightKind, block: number): string {
  const name = g.fresh(`${tensor.name}_blocked`)
  const dims = storedWeightShape(tensor.dims, kind, block)
  const values = weightPacking(tensor.dims, kind, block).pack(floats(tensor))
  g.initializers.set(name, { name, dtype: 'float32', dims, data: bytesOf(values) })
  g.types.set(name, { dtype: 'float32', shape: dims })
  return name
}

/** How a node is computed in blocked layout; false where it is not. */
export type Handler = (l: Lowering, node: Node) => boolean
