/** What methods that train under quantisation share: the options of quantisers, and the model prepared for them. */
import type { Context } from '../method.ts'
import type { Model } from '../model.ts'
import type { OptionsOf, OptionTable } from '../options.ts'
import { expandGrids } from '../quantize/compact.ts'
import { activationQuantisers, fakeQuantise, weightQuantisers } from '../quantize/fake-quantise.ts'
import { integerNode } from '../quantize/int8.ts'
import { leftInFloat } from '../quantize/int8-layers.ts'
import { checkNodeNames } from '../quantize/node-names.ts'
import { calibrateValues, prepareForFakes } from '../quantize/prepare-fakes.ts'
import { pointsOf } from '../quantize/quantised-points.ts'
import type { Regime } from '../train/regime.ts'

const bits = { type: 'number', min: 2, max: 8, integer: true } as const

export const quantiserChoices = {
  weightBits: {
    ...bits,
    default: 8,
    onlyWith: { weights: ['lsq', 'straight-through', 'dorefa'] },
    help: 'bits of weights; not used by ternary, ttq and binary',
  },
  activationBits: {
    ...bits,
    default: 8,
    min: 1,
    onlyWith: { activations: ['lsq', 'pact', 'straight-through'] },
    help: 'bits of what layers multiply weights with; 1: the sign, or 0 and one size behind a Relu',
  },
  edgeBits: {
    ...bits,
    default: 8,
    min: 0,
    help: 'bits of weights and inputs in the first and the last layer; 0: as in the other layers',
  },
  weights: {
    type: 'choice',
    of: weightQuantisers,
    default: 'lsq',
    help: 'how weights are rounded: lsq (learnt step), straight-through (step from the largest weight), dorefa, ternary, ttq (ternary with two learnt sizes) or binary',
  },
  activations: {
    type: 'choice',
    of: activationQuantisers,
    default: 'lsq',
    help: 'how activations are rounded: lsq (learnt step), pact (learnt limit), straight-through (running range), or float: not at all',
  },
  perChannel: {
    type: 'boolean',
    default: false,
    onlyWith: { weights: ['lsq'] },
    help: 'learns one step per output channel of a weight instead of one per tensor, which makes packed files larger',
  },
  clipDecay: {
    type: 'number',
    default: 0.0001,
    min: 0,
    max: 1,
    onlyWith: { activations: ['pact'] },
    help: 'for pact: weight decay of the limits',
  },
} as const satisfies OptionTable

export const integerChoices = {
  reduceRange: {
    type: 'boolean',
    default: true,
    help: 'keep sums of two 8-bit weights within 8 bits, which x86 processors without VNNI need',
  },
  excludeNodes: { type: 'strings', default: [], help: 'nodes to keep in float, by name (or first output)' },
} as const satisfies OptionTable

type Settings = OptionsOf<typeof quantiserChoices> & OptionsOf<typeof integerChoices>

export interface Prepared {
  /** With weights as initialisers of their layers and a name for every node. */
  readonly model: Model
  readonly quantising: Regime
}

interface Preparing {
  readonly settings: Settings
  readonly context: Context
  /** Bits by the weight's name, of the prepared model, instead of those of the settings. */
  readonly bitsOf?: (model: Model) => Promise<Readonly<Record<string, number>>>
}

/** Throws where the model computes on integers already or lacks a node that is named. `context` has the samples to calibrate on. */
export async function prepareQuantised(
  subject: string,
  given: Model,
  { settings, context, bitsOf }: Preparing,
): Promise<Prepared> {
  const integers = integerNode(given)
  if (integers) throw new Error(`${subject}: ${integers.op} computes on integers already; expected a float model`)
  if (settings.edgeBits === 1) throw new Error(`${subject}: edgeBits is 1; expected 0 or 2 to 8`)
  checkNodeNames(given, settings.excludeNodes, subject)
  const model = await prepareForFakes(expandGrids(given))
  for (const what of leftInFloat(pointsOf(model, settings).plan)) context.warn?.(`${subject}: ${what}`)
  const inFloat = settings.activations === 'float'
  const ranges = inFloat ? new Map() : await calibrateValues(model, settings, context)
  const own = bitsOf ? { bitsOf: await bitsOf(model) } : {}
  return { model, quantising: fakeQuantise({ ...settings, ...own, ranges }) }
}
