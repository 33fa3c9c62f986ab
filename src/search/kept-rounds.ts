/**
 * The rounds of a search that trains, kept in a checkpoint, so that a search that was stopped goes on within the round that it was
 * in. What a clock decided, such as how many epochs a round has, is kept with them: the search goes on as it would have.
 */
import type { Model } from '../model.ts'
import { readModel } from '../onnx/read.ts'
import { writeModel } from '../onnx/write.ts'
import type { CheckpointStore } from '../train/checkpoint.ts'
import { seal, unseal } from '../train/checkpoint-bytes.ts'

const kind = 'COPRND1'

interface Kept<Options> {
  readonly options: Options
  /** What it has taken so far, in all runs. */
  readonly ms: number
  /** Once it is done. */
  readonly model?: Uint8Array
}

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
    return new KeptRounds<Options>(store, fingerprint, stored ? parsed(stored, fingerprint) : { rounds: [] })
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
    const rounds = this.rounds.map(({ options, ms, model }) => ({ options, ms, bytes: model?.length ?? 0 }))
    const models = this.rounds.flatMap(({ model }) => (model ? [model] : []))
    return seal(kind, { fingerprint: this.fingerprint, rounds }, this.own ? [...models, this.own] : models)
  }
}

function parsed<Options extends object>(
  stored: Uint8Array,
  fingerprint: string,
): { rounds: Kept<Options>[]; own?: Uint8Array } {
  const { header, body } = unseal(stored, kind, 'a search')
  const { fingerprint: found, rounds } = (header ?? {}) as { fingerprint?: unknown; rounds?: unknown }
  if (typeof found !== 'string' || !Array.isArray(rounds)) throw damaged()
  if (found !== fingerprint)
    throw new Error(
      'checkpoint: it is of another search (model, data or options differ); expected that of this run, or none',
    )
  let at = 0
  const kept = rounds.map((round: unknown): Kept<Options> => {
    const { options, ms, bytes } = (round ?? {}) as { options?: Options; ms?: unknown; bytes?: unknown }
    if (!options || typeof options !== 'object' || typeof ms !== 'number' || typeof bytes !== 'number' || !(bytes >= 0))
      throw damaged()
    if (at + bytes > body.length) throw damaged()
    const model = body.slice(at, at + bytes)
    at += bytes
    return { options, ms, ...(bytes > 0 ? { model } : {}) }
  })
  return { rounds: kept, ...(at < body.length ? { own: body.slice(at) } : {}) }
}

function damaged(): Error {
  return new Error('checkpoint: its header is damaged; expected the rounds of a search and their models')
}
