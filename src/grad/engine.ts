/**
 * How a training graph is computed: the one seam between what is trained and how fast.
 *
 * An engine expands the macros of a graph and says in which form each parameter is kept between steps.
 */
import type { OpsetId } from '../model.ts'
import { add, type Emitter, mul, type Shape } from '../ops/grad/emit.ts'
import type { TypedGraph } from './backward.ts'
import { lowerPlain } from './lower-plain.ts'

/** A parameter and the value that holds its gradient, by their names in the graph. */
export interface Trained {
  readonly name: string
  readonly gradient: string
}

export interface StoredParameter {
  readonly name: string
  /** As the model has it. */
  readonly shape: Shape
  /** As it is kept: a value of this shape and name must be put into the lowered graph, and `gradient` has this shape. */
  readonly storedShape: Shape
  readonly value: string
  readonly gradient: string
  /** From the model's order of elements to the stored one, and back. Padding is zero. */
  pack(values: Float32Array): Float32Array
  unpack(stored: Float32Array): Float32Array
}

export interface Lowered extends TypedGraph {
  /** Operator domains that the graph uses beside those of the model. */
  readonly opsets?: readonly OpsetId[]
  readonly parameters: readonly StoredParameter[]
}

export interface Engine {
  readonly id: 'plain' | 'blocked'
  /**
   * The parameters become values that the graph only reads; their initialisers are gone. The values `wanted` keep their
   * names, in standard layout.
   */
  lower(graph: TypedGraph, trained: readonly Trained[], wanted: readonly string[]): Lowered
  /** Vectors of state are padded to a multiple of so many elements. */
  readonly alignment: number
  /** The shape in which a state vector crosses into the runtime and is updated: one that needs no copy to be used. */
  vectorShape(size: number): Shape
  /** a·x + y for a scalar a and vectors x and y of `vectorShape`. */
  axpy(g: Emitter, a: string, x: string, y: string): string
}

/** Standard operators in standard layout: every runtime. */
export const plainEngine: Engine = {
  id: 'plain',
  alignment: 1,
  lower(graph, trained) {
    const lowered = lowerPlain(graph)
    const initializers = new Map(lowered.graph.initializers)
    const parameters = trained.map(({ name, gradient }): StoredParameter => {
      initializers.delete(name)
      const { shape } = lowered.types.get(name) as { shape: Shape }
      const same = (values: Float32Array): Float32Array => values
      return { name, shape, storedShape: shape, value: name, gradient, pack: same, unpack: same }
    })
    return { ...lowered, graph: { ...lowered.graph, initializers }, parameters }
  },
  vectorShape: (size) => [size],
  axpy: (g, a, x, y) => add(g, mul(g, x, a), y),
}
