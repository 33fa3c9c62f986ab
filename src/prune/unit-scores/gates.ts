/**
 * By what the loss does where a channel fades: the gradient of a gate (a factor of 1) on all that the unit's layers make, behind
 * their BatchNormalization. For z = scale * x + shift it is scale * dL/dscale + shift * dL/dshift, and for a layer without one
 * sum of w * dL/dw + bias * dL/dbias, so that the gradients of stored tensors are enough.
 *
 * `gates`: the mean square, a sample at a time (Molchanov et al. 2019, arXiv:1906.10771).
 * `feature-maps`: the mean magnitude, a sample at a time, over the root of the sum of squares of the group (Molchanov et al.
 * 2017, arXiv:1611.06440).
 *
 * Labels are dealt out at random among the samples: a network that has memorised its training set has no gradient on it, while
 * with other labels the gradient tells how far its scores move (as the Gauss-Newton diagonal does).
 */
import type { ChannelGroup } from '../../channels/channel-groups.ts'
import type { WeightTensor } from '../../graph/weights.ts'
import type { Tensor } from '../../model.ts'
import { floats } from '../../tensor/dtype.ts'
import { random } from '../../tensor/random.ts'
import { gradientBatches, gradientOptions, openGradients, singles } from '../../train/weight-gradients.ts'
import { along } from '../_units.ts'
import { membersOf, type ScoredGroups, type UnitScore } from './unit-score.ts'

/** Samples that gradients are taken on. */
const samples = 256

export const gates: UnitScore = (given) => byGates(given, (gate) => gate * gate)

export const featureMaps: UnitScore = async (given) => {
  const scores = await byGates(given, Math.abs)
  return scores.map((own) => {
    const size = Math.sqrt(own.reduce((sum, v) => sum + v * v, 0))
    return own.map((v) => (size > 0 ? v / size : v))
  })
}

/** A stored tensor whose gradient counts, and the unit of each place along its axis. */
interface Factor {
  readonly tensor: Tensor
  readonly axis: number
  readonly units: Int32Array
  readonly group: number
}

/** What is multiplied by the gates of each group: scales and shifts of the normalisations behind its layers, or the layers. */
function factorsOf(given: ScoredGroups, group: ChannelGroup, index: number): Factor[] {
  const { graph } = given.opened.model
  const found: Factor[] = []
  const add = (name: string | undefined, axis: number, units: Int32Array): void => {
    const tensor = name ? graph.initializers.get(name) : undefined
    if (tensor && tensor.dims[axis] === units.length) found.push({ tensor, axis, units, group: index })
  }
  const scales = membersOf(given, group, 'passes').filter((m) => m.at.op === 'BatchNormalization' && m.input === 1)
  for (const maker of membersOf(given, group, 'makes').filter((m) => m.input === 1)) {
    const behind = scales.find((s) => s.at.inputs[0] === maker.at.outputs[0])
    if (behind) for (const at of [1, 2]) add(behind.at.inputs[at], 0, behind.units)
    else {
      add(maker.tensor, maker.axis, maker.units)
      add(maker.at.inputs[2], 0, maker.units)
    }
  }
  return found
}

/** The mean over samples of what `measure` makes of each unit's gradient. */
async function byGates(given: ScoredGroups, measure: (gradient: number) => number): Promise<Float32Array[]> {
  const { opened, groups, context } = given
  const { model } = opened
  const factors = groups.flatMap((g, i) => factorsOf(given, g, i))
  const tensors = [...new Set(factors.map((f) => f.tensor))]
  const weights = tensors.map((tensor): WeightTensor => ({ name: tensor.name, tensor, graph: model.graph, uses: [] }))
  const batches = await gradientBatches(model, context, { samples })
  if (!batches) throw new Error('channels: this score needs gradients; expected data')
  const rng = random(context.seed ?? 0)
  const labels = batches.flatMap((b) => Array.from(b.labels))
  const sums = groups.map((g) => new Float64Array(g.units))
  const [first] = singles(model, batches[0])
  const gradients = await openGradients(model, weights, gradientOptions(first))
  try {
    for (const batch of batches) {
      for (const one of singles(model, batch)) {
        const label = labels[rng.below(labels.length)]
        const found = await gradients.of({ feeds: one.feeds, labels: Array.from(one.labels, () => label) })
        for (const [i, own] of unitGradients(factors, found, { groups, tensors }).entries())
          for (const [u, v] of own.entries()) sums[i][u] += measure(v) / labels.length
      }
    }
  } finally {
    await gradients.release()
  }
  return sums.map((s) => Float32Array.from(s))
}

/** The gradient at the gate of each unit, of those at the tensors. */
function unitGradients(
  factors: readonly Factor[],
  found: readonly Float32Array[],
  { groups, tensors }: { readonly groups: readonly ChannelGroup[]; readonly tensors: readonly Tensor[] },
): Float64Array[] {
  const sums = groups.map((g) => new Float64Array(g.units))
  for (const { tensor, axis, units, group } of factors) {
    const gradient = found[tensors.indexOf(tensor)]
    const { count, inner } = along(tensor.dims, axis)
    for (const [k, v] of floats(tensor).entries()) {
      const unit = units[Math.floor(k / inner) % count]
      if (unit >= 0) sums[group][unit] += v * gradient[k]
    }
  }
  return sums
}
