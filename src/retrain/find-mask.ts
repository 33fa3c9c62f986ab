/**
 * Finds which weights a network can do without, before it learns what it is for: the network learns, is pruned in rounds by
 * magnitude, and the mask is all that is taken from it. Without labels it learns to tell how images are turned (`rotation`; Caron
 * et al. 2020, arXiv:2001.03554, who find such masks as good as those found with labels once the network is trained on labels; on
 * our small networks they are far better than random ones and less good than those: experiments/self-supervised-masks). `labels`
 * and `random` are what to compare with.
 *
 * The model that leaves has zeros where the mask has, and otherwise the weights that it came with (`start` given), as a lottery
 * ticket has, or those that it learnt on the way (`found`). `finetune` then trains it on labels under its mask. The last layer is
 * not pruned, since a network that learns turns has another one.
 */
import type { Dataset } from '../data/dataset.ts'
import { rotations } from '../data/rotations.ts'
import { replaceTensors, weightTensors } from '../graph/weights.ts'
import { type Context, defineMethod } from '../method.ts'
import type { Model } from '../model.ts'
import { modelFingerprint } from '../onnx/fingerprint.ts'
import type { OptionsOf, OptionTable } from '../options.ts'
import { magnitude } from '../prune/magnitude.ts'
import { sparsityAt } from '../prune/prune-and-train.ts'
import { expandGrids } from '../quantize/compact.ts'
import { floats, tensorOfFloats } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { trainingFingerprint } from '../train/fingerprint.ts'
import { learningOptions } from '../train/learning.ts'
import { keepZeros } from '../train/regimes/keep-zeros.ts'
import { leftAs } from '../train/regimes/remade-weights.ts'
import { trainInStages } from '../train/stages.ts'
import { lastWeight, withNewHead } from './_new-head.ts'
import { trainingOf } from './_training.ts'

const choices = {
  ...learningOptions({ epochs: 2, rate: 0.01 }),
  by: {
    type: 'choice',
    of: ['rotation', 'labels', 'random'],
    default: 'rotation',
    help: 'what the network learns while its mask is found: how images are turned, which needs no labels, or labels; or random: nothing, and the mask is drawn',
  },
  sparsity: {
    ...magnitude.options.sparsity,
    default: 0.8,
    help: 'share of the weights that are zero, but for the last layer',
  },
  scope: magnitude.options.scope,
  exclude: magnitude.options.exclude,
  rounds: {
    type: 'number',
    default: 3,
    min: 1,
    max: 1000,
    integer: true,
    help: 'rounds of training for `epochs`, each followed by pruning, most in the first rounds',
  },
  start: {
    type: 'choice',
    of: ['given', 'found'],
    default: 'given',
    help: 'which weights are left: those that the model came with, or those that it had learnt when the mask was found',
  },
} as const satisfies OptionTable

export const findMask = defineMethod({
  id: 'find-mask',
  help: 'zeroes weights by a mask that is found without labels, while the network learns to tell how images are turned',
  data: 'a training set, of square images; without labels, unless by labels',
  trains: true,
  options: choices,
  async run(given, options, context) {
    const model = expandGrids(given)
    const exclude = [...options.exclude, lastWeight('find-mask', model)]
    const found =
      options.by === 'random'
        ? await drawn(model, { ...options, exclude }, context)
        : await learnt(model, { ...options, exclude }, context)
    return masked(model, found, options.start)
  },
})

type Settings = OptionsOf<typeof choices>

/** The model with drawn weights, pruned: those that are zero are the mask. */
function drawn(model: Model, { sparsity, scope, exclude }: Settings, { seed = 0 }: Context): Promise<Model> {
  const rng = random(seed)
  const tensors = weightTensors(model).map(({ tensor }) => {
    const scores = floats(tensor).map(() => 0.5 + rng.next())
    return [tensor, tensorOfFloats(tensor.name, tensor.dtype, tensor.dims, scores)] as const
  })
  return magnitude(replaceTensors(model, new Map(tensors)), { sparsity, scope, exclude })
}

/** The network once it has learnt and been pruned, with a last layer of its own where it learnt turns. */
async function learnt(model: Model, options: Settings, context: Context): Promise<Model> {
  const { by, sparsity, scope, exclude, rounds } = options
  const { data, options: training } = await trainingOf('find-mask', options, context)
  const { seed = 0, checkpoint } = context
  const turned = (set: Dataset): Dataset => rotations(set, seed)
  const isTurned = by === 'rotation'
  const { task, validation, ...others } = training
  const learning = {
    ...others,
    ...(isTurned || !task ? {} : { task }),
    ...(validation ? { validation: isTurned ? turned(validation) : validation } : {}),
    regimes: [keepZeros()],
  }
  const set = isTurned ? turned(data) : data
  const start = isTurned ? withNewHead('find-mask', model, { classes: 4, seed }) : model
  const names = new Set(weightTensors(start).map((w) => w.name))
  const left = isTurned ? [lastWeight('find-mask', start), ...exclude.filter((name) => names.has(name))] : exclude
  return trainInStages(start, set, {
    // It learns before anything is pruned, and nothing after the last.
    count: rounds + 1,
    async begin(index, current) {
      const share = sparsityAt('gradual', sparsity, { round: index, rounds })
      const pruned = index === 0 ? current : await magnitude(current, { sparsity: share, scope, exclude: left })
      return { model: pruned, ...(index < rounds ? { training: learning } : {}) }
    },
    record: (index) => ({ round: index }),
    ...(checkpoint ? { checkpoint } : {}),
    fingerprint: () =>
      JSON.stringify([
        modelFingerprint(start),
        by,
        sparsity,
        scope,
        left,
        rounds,
        learning.epochs,
        trainingFingerprint(set, learning),
      ]),
    subject: 'finding a mask',
  })
}

/** The model with zeros where those weights of another that have the same names are zero; with what it stores, or what that does. */
function masked(model: Model, found: Model, start: Settings['start']): Model {
  if (start === 'found') return leftAs(model, found, (_, values) => values)
  const others = new Map(weightTensors(found).map((w) => [w.name, floats(w.tensor)]))
  const tensors = weightTensors(model).flatMap(({ name, tensor }) => {
    const mask = others.get(name)
    const { dtype, dims } = tensor
    const kept = mask && floats(tensor).map((v, i) => (mask[i] === 0 ? 0 : v))
    return kept ? [[tensor, tensorOfFloats(tensor.name, dtype, dims, kept)] as const] : []
  })
  return replaceTensors(model, new Map(tensors))
}
