/** Preparation for training under quantisation: the model in a form for quantisers, and ranges of its values. */
import { nodeName } from '../graph/walk.ts'
import type { Context } from '../method.ts'
import { type Model, type Tensor, withGraph } from '../model.ts'
import { gathersForShuffles } from '../simplify/gather-shuffles.ts'
import { withOwnCopies } from '../train/own-copies.ts'
import { collectHistograms } from './_calibrate.ts'
import { mseRange, oneBitRange, type Range } from './_histogram.ts'
import { joinBiases } from './_merge-bias.ts'
import { foldAllWeights } from './fold-weights.ts'
import { withChannelScales } from './int8.ts'
import { type PointsOptions, pointsOf } from './quantised-points.ts'

/** The model with weights and biases as initialisers of their layers and a name for every node; outputs stay the same. */
export async function prepareForFakes(model: Model): Promise<Model> {
  // Ranges are found on the model that will be trained, so what begins alike is separated here already.
  const raised = withOwnCopies(constantsStored(withChannelScales(model)))
  const nodes = raised.graph.nodes.map((n) => (n.name ? n : { ...n, name: nodeName(n) }))
  return gathersForShuffles(joinBiases(await foldAllWeights(withGraph(raised, { nodes }))))
}

/** Constant nodes of tensors as initialisers, which can be trained. */
function constantsStored(model: Model): Model {
  const initializers = new Map<string, Tensor>(model.graph.initializers)
  const nodes = model.graph.nodes.filter(({ op, domain, attributes: { value }, outputs: [name] }) => {
    if (op !== 'Constant' || domain || value?.type !== 'tensor') return true
    initializers.set(name, { ...value.value, name })
    return false
  })
  return withGraph(model, { nodes, initializers })
}

/**
 * The range of every value that is rounded, with the least squared error at its bits on the calibration inputs. One bit has
 * two levels about the mean instead (`oneBitRange`).
 */
export async function calibrateValues(
  model: Model,
  options: PointsOptions,
  context: Context,
): Promise<Map<string, Range>> {
  const { values, folded } = pointsOf(model, options)
  if (!context.data) throw new Error('calibration: there are no inputs to calibrate on; expected some in the context')
  const histograms = await collectHistograms(folded, [...values.keys()], {
    batches: context.data.calibration(),
    context,
    subject: 'fake-quantise',
  })
  return new Map(
    [...histograms].map(([name, h]) => {
      const bits = values.get(name) as number
      return [name, bits === 1 ? oneBitRange(h) : mseRange(h, 2 ** bits)]
    }),
  )
}
