/**
 * How much a model lost against its reference, as one number a search can hold against a limit: points of top-1 accuracy on
 * labelled data, points of top-1 agreement or decibels of noise without labels.
 */
import type { BoundBatcher } from '../data/batcher.ts'
import type { Dataset } from '../data/dataset.ts'
import { fedBatches } from '../data/fed-batches.ts'
import { evaluateAccuracy } from '../evaluate/accuracy.ts'
import { measureAgreement } from '../evaluate/agreement.ts'
import { findRandomInputs } from '../evaluate/random-inputs.ts'
import type { Feeds } from '../method.ts'
import type { Model } from '../model.ts'
import { openSession, type Session, withSession } from '../runtime/session.ts'

export interface Loss {
  /** In the unit; 0 is no loss, and larger is worse. */
  readonly value: number
  readonly unit: 'points of accuracy' | 'points of agreement' | 'dB of noise'
}

/** Measures a model's loss. `limitOf` turns the user's allowed loss into the limit of this measure. */
export interface Scorer {
  readonly unit: Loss['unit']
  /** What is measured, for people. */
  readonly what: string
  lossOf(model: Model): Promise<number>
  limitOf(maxLoss: number): number
}

/**
 * The share of the allowed loss that held-back samples may lose. The model may have seen them in training, and then they lose
 * less than new ones: half is kept in reserve, and four fifths where it knows nearly all of them by heart.
 */
function shareOf(accuracy: number): number {
  return accuracy > 0.995 ? 0.2 : 0.5
}

/** Without data: the noise may be at most this far below the signal. */
export const leastSnrDb = 30

function withModel<T>(model: Model, work: (session: Session) => Promise<T>): Promise<T> {
  return withSession(() => openSession(model), work)
}

/** Accuracy on labelled validation data. Throws where the model knows no more than chance: then no loss means anything. */
export async function accuracyScorer(model: Model, batcher: BoundBatcher, validation: Dataset): Promise<Scorer> {
  const top1 = (m: Model): Promise<number> =>
    withModel(m, async (s) => (await evaluateAccuracy(s, batcher, validation, { batchSize: 250 })).top1)
  const before = await top1(model)
  const chance = 1 / (validation.classes ?? 2)
  if (before < chance + 0.1 * (1 - chance)) {
    throw new Error(
      `model: ${(100 * before).toFixed(1)} % top-1 on ${validation.id}, chance is ${(100 * chance).toFixed(1)} %; expected a trained model, its own data and its preprocessing (--input-range, --mean, --std, --layout)`,
    )
  }
  return {
    unit: 'points of accuracy',
    what: `top-1 accuracy on ${validation.length} held-back samples of ${validation.id}`,
    lossOf: async (m) => 100 * (before - (await top1(m))),
    limitOf: (maxLoss) => maxLoss * shareOf(before),
  }
}

/** Agreement with the reference on unlabelled validation data: top-1 where the output is class scores, else noise. */
export function agreementScorer(model: Model, batcher: BoundBatcher, validation: Dataset): Promise<Scorer> {
  return comparingScorer(
    model,
    () => fedBatches(batcher, validation, 250),
    `${validation.length} held-back samples of ${validation.id}`,
  )
}

/** Agreement on seeded random inputs, where there is no data at all. */
export async function randomScorer(model: Model, seed: number): Promise<Scorer> {
  const inputs = await withModel(model, (s) => findRandomInputs(model, s))
  const feeds = (): { feeds: Feeds }[] => Array.from({ length: 8 }, (_, i) => ({ feeds: inputs.make(seed + i) }))
  const scorer = await comparingScorer(model, feeds, '8 random inputs', true)
  return scorer
}

async function comparingScorer(
  model: Model,
  inputs: () => Iterable<{ feeds: Feeds; count?: number }>,
  where: string,
  noiseOnly = false,
): Promise<Scorer> {
  const compare = (m: Model) => withModel(model, (a) => withModel(m, (b) => measureAgreement(a, b, inputs())))
  const classes = !noiseOnly && (await compare(model)).outputs[0].top1 !== undefined
  return classes
    ? {
        unit: 'points of agreement',
        what: `top-1 agreement with the original on ${where}`,
        lossOf: async (m) => 100 * (1 - ((await compare(m)).outputs[0].top1 ?? 0)),
        limitOf: (maxLoss) => maxLoss,
      }
    : {
        unit: 'dB of noise',
        what: `output noise against the original on ${where}`,
        lossOf: async (m) => -Math.min(...(await compare(m)).outputs.map((o) => o.snrDb)),
        limitOf: () => -leastSnrDb,
      }
}
