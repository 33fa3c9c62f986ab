/** Where a model is quantised while it trains: which layers, which values, and what of it will compute on integers. */
import { consumersOf, intAttribute, producersOf } from '../graph/walk.ts'
import type { Graph, Model, Node } from '../model.ts'
import { foldBatchNorms } from '../simplify/fold-batch-norm.ts'
import { type Plan, planInt8 } from './_plan.ts'

export interface PointsOptions {
  readonly activationBits: number
  /** See `FakeQuantiseOptions`. */
  readonly edgeBits: number
  readonly excludeNodes: readonly string[]
}

export interface PointOfLayer {
  /** The layer, and the BatchNormalization that will be folded into it. */
  readonly layer: Node
  readonly norm?: Node
  /** The layer with that folded, a node of `folded`. */
  readonly folded: Node
  /** The weight's axis of output channels. */
  readonly axis: number
  /** Whether it is the first or the last. */
  readonly isEdge: boolean
}

export interface Points {
  readonly layers: readonly PointOfLayer[]
  /** Values that are rounded, and their bits. */
  readonly values: ReadonlyMap<string, number>
  /** Nodes that will compute on integers. */
  readonly onIntegers: ReadonlySet<Node>
  /** What those make: rounded for whoever reads it. */
  readonly made: ReadonlySet<string>
  /** The model with BatchNormalization folded, and what of it computes on integers. */
  readonly folded: Model
  readonly plan: Plan
}

/** Of a model that `prepareForFakes` has prepared, whose nodes have names. */
export function pointsOf(model: Model, options: PointsOptions): Points {
  const folded = foldBatchNorms(model)
  const whole = planInt8(folded.graph, new Set(options.excludeNodes))
  const plan = options.activationBits === 8 ? whole : layersAlone(folded.graph, whole)
  const producers = producersOf(model.graph)
  const unfolded = (node: Node): { layer: Node; norm?: Node } => {
    const last = producers.get(node.outputs[0]) as Node
    if (last.op !== 'BatchNormalization') return { layer: last }
    return { layer: producers.get(last.inputs[0]) as Node, norm: last }
  }
  const [first, final] = [plan.layers[0], plan.layers.at(-1)]
  const layers = plan.layers.map((node) => ({
    ...unfolded(node),
    folded: node,
    axis: node.op === 'Conv' || intAttribute(node, 'transB', 0) ? 0 : 1,
    isEdge: node === first || node === final,
  }))
  const isLayer = new Set(plan.layers)
  return {
    layers,
    values: bitsOfValues(plan, options),
    onIntegers: new Set(
      [...plan.nodes].map((n) => (isLayer.has(n) ? unfolded(n).layer : (producers.get(n.outputs[0]) as Node))),
    ),
    made: new Set([...plan.nodes].flatMap((n) => n.outputs)),
    folded,
    plan,
  }
}

/**
 * Only what layers read is rounded; the rest of the graph computes on floats. A value that only moves on its way to one
 * layer (flattened, pooled by the largest) is rounded before it moves, so that the layer that makes it ends in integers.
 */
function layersAlone(graph: Graph, { layers, left, values: whole }: Plan): Plan {
  const producers = producersOf(graph)
  const consumers = consumersOf(graph)
  const outputs = new Set(graph.outputs.map((o) => o.name))
  const nodes = new Set(layers)
  const values = new Map<string, string>()
  for (const layer of layers) {
    const moved = [layer.inputs[0]]
    for (;;) {
      const name = moved[moved.length - 1]
      const mover = producers.get(name)
      const isPlain = mover?.outputs.length === 1 && consumers.get(name)?.length === 1 && !outputs.has(name)
      // What moves has the range of another value.
      if (!mover || !isPlain || whole.get(name) === name) break
      nodes.add(mover)
      moved.push(mover.inputs[0])
    }
    for (const name of moved) values.set(name, moved[moved.length - 1])
  }
  return { layers, nodes, values, left }
}

/** What several layers read has the bits of the one that needs most. */
function bitsOfValues({ layers, values }: Plan, { activationBits, edgeBits }: PointsOptions): Map<string, number> {
  const bits = new Map<string, number>()
  for (const root of values.values()) bits.set(root, activationBits)
  for (const edge of edgeBits > 0 ? [layers[0], layers.at(-1)] : []) {
    const root = edge && values.get(edge.inputs[0])
    if (root) bits.set(root, Math.max(activationBits, edgeBits))
  }
  return bits
}
