/**
 * int8: weights, and with calibration inputs activations too, as 8-bit integers in QuantizeLinear / DequantizeLinear
 * form, which any ONNX runtime runs and ONNX Runtime fuses into integer kernels.
 *
 * Krishnamoorthi 2018, arXiv:1806.08342. Weights are int8, symmetric, one scale per output channel; activations uint8,
 * asymmetric, one scale per tensor. ONNX Runtime computes that on integers on every processor; with `activations: int8` it
 * does on ARM alone, and computes in float on x86.
 */
import { describe, graphsOf, nodeName } from '../graph/walk.ts'
import { type Context, defineMethod } from '../method.ts'
import { irVersionOf, type Model, type Node, opsetOf, withGraph } from '../model.ts'
import { since } from '../ops/operator-sets.ts'
import type { OptionsOf } from '../options.ts'
import { foldBatchNorms } from '../simplify/fold-batch-norm.ts'
import { gathersForShuffles } from '../simplify/gather-shuffles.ts'
import { upgradeOpset } from '../simplify/upgrade.ts'
import { absorbBiases } from './_absorb-biases.ts'
import { biasCorrections } from './_bias-correction.ts'
import { collectHistograms } from './_calibrate.ts'
import { equalise } from './_equalise.ts'
import { entropyRange, type Histogram, minMaxRange, mseRange, percentileRange, type Range } from './_histogram.ts'
import { joinBiases } from './_merge-bias.ts'
import { leftInFloat, type Plan, planInt8 } from './_plan.ts'
import { inputScaleOf, type QuantizedLayer, type QuantizedWeight, quantizeLayer, writeQdq } from './_qdq.ts'
import { roundedWeights } from './_rounded-weights.ts'
import { sharedRanges } from './_shared-ranges.ts'
import { quantizeWeightsOnly } from './_weight-only.ts'
import { foldAllWeights } from './fold-weights.ts'
import { toIntegerOperators } from './integer-operators.ts'
import { checkNodeNames } from './node-names.ts'

const options = {
  calibration: {
    type: 'choice',
    of: ['min-max', 'percentile', 'mse', 'entropy'],
    default: 'mse',
    onlyWith: { data: 'given' },
    help: 'how an activation range is chosen from the values seen on calibration inputs',
  },
  percentile: {
    type: 'number',
    default: 99.99,
    min: 50,
    max: 100,
    onlyWith: { calibration: ['percentile'], data: 'given' },
    help: 'for percentile: the share in % of values that each end of the range keeps',
  },
  biasCorrection: {
    type: 'boolean',
    default: true,
    onlyWith: { data: 'given' },
    help: 'correct the bias of each output channel by its mean error on calibration inputs',
  },
  reduceRange: {
    type: 'boolean',
    default: true,
    help: 'keep sums of two weights within 8 bits: x86 processors without VNNI add products in pairs of 16 bits, which overflow otherwise; false only where all target processors have VNNI',
  },
  weightBits: {
    type: 'number',
    default: 8,
    min: 2,
    max: 8,
    integer: true,
    help: 'bits of weights: fewer take fewer of the levels, which packs smaller and is no faster; with calibration inputs only',
  },
  rounding: {
    type: 'choice',
    of: ['feedback', 'adaptive', 'nearest'],
    default: 'feedback',
    onlyWith: { data: 'given' },
    help: 'how weights are rounded: each after the errors of those before it are fed to it (GPTQ), so that together they disturb outputs least on the calibration inputs; the same by turning weights over (AdaRound: slower, for few bits); or to the nearest level',
  },
  activations: {
    type: 'choice',
    of: ['uint8', 'int8'],
    default: 'uint8',
    onlyWith: { data: 'given' },
    help: 'the type of values between layers: uint8 is fast in ONNX Runtime on all processors; int8 is what some accelerators ask for',
  },
  concat: {
    type: 'choice',
    of: ['own', 'shared'],
    default: 'own',
    onlyWith: { data: 'given' },
    help: 'what is concatenated keeps its own range (finer), or shares one with the result where no Relu is in the way (copied as it is, as some runtimes need it)',
  },
  form: {
    type: 'choice',
    of: ['qdq', 'operators'],
    default: 'qdq',
    onlyWith: { data: 'given' },
    help: 'QuantizeLinear / DequantizeLinear around layers, which every runtime runs; or operators on integers (see integer-operators)',
  },
  equalise: {
    type: 'boolean',
    default: true,
    onlyWith: { data: 'given' },
    help: 'scale channels that share a range to similar sizes, by powers of two in the weights before and after them',
  },
  absorbBiases: {
    type: 'boolean',
    default: false,
    help: 'what all values of a channel have in common behind a Relu moves into the biases of unpadded convolutions that read it, so that ranges shrink; inputs unlike the calibration inputs may be clipped',
  },
  excludeNodes: {
    type: 'strings',
    was: 'exclude',
    default: [],
    help: 'nodes to keep in float, by name (or first output)',
  },
} as const

export type Int8Options = OptionsOf<typeof options>

export const int8 = defineMethod({
  id: 'int8',
  help: 'stores weights as 8-bit integers, and computes on integers where calibration inputs are given',
  data: 'calibration inputs, for the ranges of activations; without them only weights become integers',
  options,
  async run(model, settings, context) {
    const already = integerNode(model)
    if (already) {
      context.warn?.(`int8: ${describe(already)} computes on integers already; the model is returned as it is`)
      return model
    }
    checkNodeNames(model, settings.excludeNodes, int8.id)
    if (!context.data) {
      const needing = [
        ...(settings.weightBits < 8 ? [`weightBits ${settings.weightBits}`] : []),
        ...(settings.rounding === 'adaptive' ? ['rounding adaptive'] : []),
        ...(settings.absorbBiases ? ['absorbBiases'] : []),
      ]
      if (needing.length > 0)
        throw new Error(`int8: ${needing[0]} needs calibration inputs, and there are none; expected data`)
      context.warn?.('int8: no calibration data, so only weights become integers; that saves size, not time')
      return quantizeWeightsOnly(withChannelScales(model), settings)
    }
    const prepared = await prepareInt8(model, settings, context)
    for (const what of leftInFloat(planInt8(prepared.graph))) context.warn?.(`int8: ${what}`)
    if (planInt8(prepared.graph, new Set(settings.excludeNodes)).layers.length === 0) {
      context.warn?.('int8: no layer can compute on integers; the model is returned as it is')
      return model
    }
    const calibrated = await calibrateInt8(prepared, settings, context)
    return quantizeInt8(prepared, calibrated, settings)
  },
})

const integerOps = /^(QuantizeLinear|DequantizeLinear|DynamicQuantize\w+|QLinear\w+|ConvInteger|MatMulInteger|QGemm)$/

/** A node of the model that computes on integers already. */
export function integerNode(model: Model): Node | undefined {
  for (const graph of graphsOf(model)) {
    const found = graph.nodes.find((n) => integerOps.test(n.op))
    if (found) return found
  }
  return undefined
}

/** The model in an operator set whose DequantizeLinear has a scale for each channel. */
export function withChannelScales(model: Model): Model {
  const raised = opsetOf(model) < since.scalePerChannel ? upgradeOpset(model, since.scalePerChannel) : model
  // In old versions of the file format initialisers had to be inputs, which integer weights are not.
  const irVersion = irVersionOf(since.scalePerChannel)
  return raised.irVersion >= irVersion ? raised : { ...raised, irVersion }
}

/**
 * The float model that is quantised: BatchNormalization folded, weights and biases plain constants of their layers, shuffles
 * as Gathers; with calibration inputs biases absorbed and channels of similar size where the settings say so. Its outputs
 * are the model's.
 */
export async function prepareInt8(model: Model, settings: Int8Options, context: Context): Promise<Model> {
  // Folding hands outputs on to other nodes: a node without a name is named now, as options know it by its output.
  const raised = withChannelScales(model)
  const nodes = raised.graph.nodes.map((n) => (n.name ? n : { ...n, name: nodeName(n) }))
  const settled = foldBatchNorms(joinBiases(foldBatchNorms(await foldAllWeights(withGraph(raised, { nodes })))))
  const folded = gathersForShuffles(settled)
  const { data } = context
  if (!data) return folded
  const seen = () => ({ batches: data.calibration(), context, subject: 'int8' })
  const absorbed = settings.absorbBiases ? await absorbBiases(folded, seen()) : folded
  return settings.equalise ? equalise(absorbed, seen()) : absorbed
}

/** What calibration learnt of a prepared model: enough to quantise it with any choice of layers kept in float. */
export interface Calibrated {
  /** For every value that may be held as uint8. */
  readonly ranges: ReadonlyMap<string, Range>
  /** What to add to each layer's bias, by the layer's name. */
  readonly corrections: ReadonlyMap<string, Float32Array>
  /** Weights that are not plain int8, by the layer's name. */
  readonly weights: ReadonlyMap<string, QuantizedWeight>
}

/** Runs a prepared model on the calibration inputs and chooses the ranges of its values. */
export async function calibrateInt8(model: Model, settings: Int8Options, context: Context): Promise<Calibrated> {
  const { data } = context
  if (!data) throw new Error('int8: calibration needs calibration inputs in the context')
  const plan = planInt8(model.graph)
  // A layer kept in float makes values that only moved before begin a range of their own, so all are measured.
  const names = new Set([...plan.values.keys(), ...planInt8(model.graph, new Set(settings.excludeNodes)).values.keys()])
  context.progress?.(0, 'calibrating')
  const histograms = await collectHistograms(model, [...names], {
    batches: data.calibration(),
    context,
    subject: 'int8',
  })
  const own = new Map([...histograms].map(([name, h]) => [name, chooseRange(h, settings)] as const))
  const ranges = settings.concat === 'shared' ? sharedRanges(plan, own) : own
  context.progress?.(0.5, 'calibrating')
  const weights = await roundedWeights(model, plan, settings, context)
  if (!settings.biasCorrection) return { ranges, corrections: new Map(), weights }
  const layers = quantizeLayers(model, { plan, ranges, corrections: new Map(), weights }, settings)
  const corrections = await biasCorrections(
    model,
    { plan, ranges, layers },
    { batches: data.calibration(), context, subject: 'int8' },
  )
  context.progress?.(1, 'calibrating')
  return { ranges, corrections: new Map([...corrections].map(([node, c]) => [nodeName(node), c])), weights }
}

function chooseRange(h: Histogram, { calibration, percentile }: Int8Options): Range {
  switch (calibration) {
    case 'percentile':
      return percentileRange(h, percentile)
    case 'mse':
      return mseRange(h)
    case 'entropy':
      return entropyRange(h)
    default:
      return minMaxRange(h)
  }
}

/** The prepared model on integers, but for the nodes in `settings.excludeNodes`. */
export function quantizeInt8(model: Model, calibrated: Calibrated, settings: Int8Options): Model {
  const plan = planInt8(model.graph, new Set(settings.excludeNodes))
  const layers = quantizeLayers(model, { plan, ...calibrated }, settings)
  const { ranges } = calibrated
  const qdq = writeQdq(model, { plan, ranges, layers, activations: settings.activations })
  return settings.form === 'operators' ? toIntegerOperators(qdq) : qdq
}

function quantizeLayers(
  model: Model,
  { plan, ranges, corrections, weights }: { plan: Plan } & Calibrated,
  { reduceRange }: Int8Options,
): Map<Node, QuantizedLayer> {
  return new Map(
    plan.layers.map((layer) => {
      const inputScale = inputScaleOf(layer, { plan, ranges })
      const correction = corrections.get(nodeName(layer))
      const given = weights.get(nodeName(layer))
      return [layer, quantizeLayer(model.graph, layer, { inputScale, pairs: reduceRange, correction, given })]
    }),
  )
}
