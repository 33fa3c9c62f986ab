/** `coppice finetune`: trains the weights of a model on, pruned zeros kept where asked. */
import { basename } from 'node:path'
import { expandGrids } from '../../quantize/compact.ts'
import { openToWork } from '../inputs.ts'
import type { Io } from '../io.ts'
import { trainModel, writtenBy } from '../train-model.ts'
import type { TrainFlags } from '../train-options.ts'

export interface FinetuneFlags extends TrainFlags {
  readonly updateStatistics?: boolean
}

/**
 * BatchNormalization keeps its statistics unless told otherwise: those of data that is fed in another way than when the
 * network was trained (not cropped at random, say) can cost more accuracy than an epoch gains.
 */
export async function runFinetune(path: string, flags: FinetuneFlags, io: Io, signal: AbortSignal): Promise<void> {
  const model = openToWork(path, { outputs: writtenBy(flags) })
  await trainModel(
    { name: basename(path), model: expandGrids(model) },
    { ...flags, freezeStatistics: flags.updateStatistics !== true },
    io,
    signal,
  )
}
