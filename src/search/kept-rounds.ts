/**
 * The rounds of a search that trains, kept in a checkpoint, so that a search that was stopped goes on within the round that it was
 * in. What a clock decided, such as how many epochs a round has, is kept with them: the search goes on as it would have.
 */
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import { type CheckpointStore, expectSameRun } from '../train/checkpoint.ts'
import { type RunKind, sealRun, unsealRun } from '../train/run-file.ts'

interface Round<Options> {
  readonly options: Options
  /** What it has taken so far, in all runs. */
  readonly ms: number
}

interface Kept<Options> extends Round<Options> {
  /** Once it is done. */
  readonly model?: Uint8Array
}

/** Every round has a model but the one that the search is in. */
const kindOf = <Options extends object>(): RunKind<readonly Round<Options>[]> => ({
  magic: 'COPRND2',
  whose: 'a search',
  fits: (rounds, models): rounds is readonly Round<Options>[] =>
    Array.isArray(rounds) &&
    (models === rounds.length || models === rounds.length - 1) &&
    rounds.every((r) => typeof r?.options === 'object' && r.options !== null && typeof r.ms === 'number'),
})

export interface Trained<Options> {
  readonly model: Model
  readonly options: Options
  readonly ms: number
}

export class KeptRounds<Options extends object> {
  private readonly store: CheckpointStore | undefined
  private readonly fingerprint: string
  private readonly rounds: Kept<Options>[]
  /** Of the round that is not done, how far its training is. */
  private own: Uint8Array | undefined
  private at = 0

  private constructor(
    store: CheckpointStore | undefined,
    fingerprint: string,
    { rounds, own }: { readonly rounds: Kept<Options>[]; readonly own?: Uint8Array },
  ) {
    this.store = store
    this.fingerprint = fingerprint
    this.rounds = rounds
    this.own = own
  }

  /** Those that the checkpoint has, if there is one. Throws one sentence where it is of another search, or damaged. */
  static async open<Options extends object>(
    store: CheckpointStore | undefined,
    fingerprint: string,
  ): Promise<KeptRounds<Options>> {
    const stored = await store?.load()
    if (!stored) return new KeptRounds<Options>(store, fingerprint, { rounds: [] })
    const { fingerprint: found, progress, models, training: own } = unsealRun(kindOf<Options>(), stored)
    expectSameRun(found, fingerprint, { run: 'search' })
    const rounds = progress.map((round, i) => ({ ...round, ...(models[i] ? { model: models[i] } : {}) }))
    return new KeptRounds<Options>(store, fingerprint, { rounds, ...(own ? { own } : {}) })
  }

  /** Milliseconds of all rounds so far, this run's and those of runs that were stopped. */
  get ms(): number {
    return this.rounds.reduce((sum, r) => sum + r.ms, 0)
  }

  /**
   * The next round. One that was begun before has the options that it had then, and one that was done is not trained again. A
   * model is read back from its bytes, stopped or not, so that both give the same.
   */
  async next(
    wanted: Options,
    train: (options: Options, checkpoint?: CheckpointStore) => Promise<Model>,
  ): Promise<Trained<Options>> {
    const index = this.at++
    const { options, ms: before, model } = this.rounds[index] ?? { options: wanted, ms: 0 }
    if (model) return { options, ms: before, model: readModel(model) }
    const start = performance.now()
    const keep = async (trained?: Uint8Array): Promise<void> => {
      this.rounds[index] = { options, ms: before + performance.now() - start, ...(trained ? { model: trained } : {}) }
      await this.store?.save(this.bytes())
    }
    const checkpoint: CheckpointStore = {
      load: async () => this.own,
      save: async (saved) => {
        this.own = saved
        await keep()
      },
    }
    const trained = writeModel(await train(options, this.store && checkpoint))
    this.own = undefined
    await keep(trained)
    return { options, ms: this.rounds[index].ms, model: readModel(trained) }
  }

  private bytes(): Uint8Array {
    return sealRun(kindOf<Options>(), {
      fingerprint: this.fingerprint,
      progress: this.rounds.map(({ options, ms }) => ({ options, ms })),
      models: this.rounds.flatMap(({ model }) => model ?? []),
      ...(this.own ? { training: this.own } : {}),
    })
  }
}
