/**
 * What every value of a channel has in common is moved behind the Relu that it passes: where a convolution makes x >= c > 0,
 * relu(x - c) = relu(x) - c, and the layers that read it add what c makes of their weights to their biases. The channel's
 * range shrinks by c. Bias absorption (Nagel et al. 2019, arXiv:1906.04721, section 4.1.3), whose c = max(0, β - 3γ) is an
 * estimate of the smallest x; here c is the smallest x that is seen on calibration inputs.
 *
 * Results stay the same up to rounding, but for inputs on which x < c, where x - c is clipped. Zeros that a convolution pads
 * with would have to be -c, so what a padded convolution reads is left alone, and so is what a Clip limits from above.
 */
import { type ChannelView, channelsOf } from '../channels/channels.ts'
import { editGraph } from '../graph/edit.ts'
import { consumersOf, intAttribute, intsAttribute, producersOf, stringAttribute } from '../graph/walk.ts'
import type { Model, Node, Tensor } from '../model.ts'
import type { Coupling } from '../ops/coupling.ts'
import { floats, floatTensor } from '../tensor/dtype.ts'
import { forEachWeight, free, groupsOf, largestOf, ownConvolutions, type Seen } from './_channel-groups.ts'

/** f(x + c) = f(x) + c. */
const shiftedOps = new Set([
  ...['Identity', 'Dropout', 'MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool'],
  ...['Concat', 'Split', 'Gather'],
])

/** The model with equal results, on inputs as those seen, whose Relus make values nearer to zero. */
export async function absorbBiases(model: Model, seen: Seen): Promise<Model> {
  const view = channelsOf(model)
  const layers = ownConvolutions(view)
  const relus = relusOf(model, layers)
  const groups = groupsOf(view, couplingsOf(view, { layers, relus }))
  const movable = [...relus].filter((n) => groups.of(n.outputs[0]).some((group) => group >= 0))
  const { warn } = seen.context
  if (movable.length === 0) {
    warn?.('int8: no biases were absorbed: no Relu lies between a convolution and others without padding')
    return model
  }
  const made = movable.map((n) => n.inputs[0])
  const below = await largestOf('Neg', made, model, seen)
  const shifts = new Map<number, number>()
  for (const relu of movable) {
    const least = below.get(relu.inputs[0]) as Float32Array
    for (const [c, group] of groups.of(relu.outputs[0]).entries())
      shifts.set(group, Math.min(shifts.get(group) ?? Number.POSITIVE_INFINITY, Math.max(0, -least[c])))
  }
  if ([...shifts.values()].every((shift) => shift === 0)) {
    warn?.('int8: no biases were absorbed: every channel before a Relu is 0 or less on some calibration input')
    return model
  }
  const shiftsOf = (value: string): number[] => groups.of(value).map((g) => (g < 0 ? 0 : (shifts.get(g) ?? 0)))
  const reluOf = new Map(movable.map((n) => [n.inputs[0], n]))
  const edit = editGraph(model)
  for (const layer of layers) {
    const weight = edit.stored(layer.inputs[1]) as Tensor
    const relu = reluOf.get(layer.outputs[0])
    const change = relu ? Float64Array.from(shiftsOf(relu.outputs[0]), (c) => -c) : new Float64Array(weight.dims[0])
    const read = shiftsOf(layer.inputs[0])
    const values = floats(weight)
    forEachWeight(weight, layer, (i, output, input) => {
      change[output] += values[i] * read[input]
    })
    if (change.every((v) => v === 0)) continue
    const before = edit.stored(layer.inputs[2] ?? '')
    const bias = before && floats(before)
    const name = before?.name ?? edit.fresh(`${layer.inputs[1]}_bias`)
    edit.store(
      floatTensor(
        name,
        [change.length],
        Float32Array.from(change, (v, c) => v + (bias?.[c] ?? 0)),
      ),
    )
    if (!before) edit.change(layer, (n) => ({ ...n, inputs: [n.inputs[0], n.inputs[1], name] }))
  }
  return edit.finish()
}

/** Those that alone read what a convolution makes. */
function relusOf({ graph }: Model, layers: ReadonlySet<Node>): Set<Node> {
  const [producers, consumers] = [producersOf(graph), consumersOf(graph)]
  return new Set(
    graph.nodes.filter((n) => {
      const producer = producers.get(n.inputs[0])
      const isOnly = consumers.get(n.inputs[0])?.length === 1 && !graph.outputs.some((o) => o.name === n.inputs[0])
      return n.op === 'Relu' && !n.domain && producer && layers.has(producer) && isOnly
    }),
  )
}

/** A layer before a Relu may make anything, one without padding read anything; all others hold what they make and read. */
function couplingsOf(
  view: ChannelView,
  { layers, relus }: { layers: ReadonlySet<Node>; relus: ReadonlySet<Node> },
): Map<Node, Coupling> {
  const before = new Set([...relus].map((n) => n.inputs[0]))
  const couplings = new Map<Node, Coupling>()
  for (const n of view.model.graph.nodes) {
    const coupling = view.couplings.get(n)
    if (layers.has(n))
      couplings.set(n, free(...(isPadded(n) ? [] : [n.inputs[0]]), ...(before.has(n.outputs[0]) ? n.outputs : [])))
    else if (relus.has(n)) couplings.set(n, free(n.inputs[0], n.outputs[0]))
    else if (coupling && !n.domain && shiftedOps.has(n.op) && intAttribute(n, 'count_include_pad', 0) === 0)
      couplings.set(n, coupling)
  }
  return couplings
}

const isPadded = (layer: Node): boolean =>
  (intsAttribute(layer, 'pads') ?? []).some((p) => p !== 0) ||
  !['NOTSET', 'VALID'].includes(stringAttribute(layer, 'auto_pad', 'NOTSET'))
