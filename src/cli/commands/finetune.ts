/** `coppice finetune`: trains the weights of a model on, pruned zeros kept where asked. */
import { basename } from 'node:path'
import { openModel } from '../../node/files.ts'
import { expandGrids } from '../../quantize/compact.ts'
import type { Io } from '../io.ts'
import { trainModel } from '../train-model.ts'
import type { TrainFlags } from '../train-options.ts'

export interface FinetuneFlags extends TrainFlags {
  readonly updateStatistics?: boolean
}

/**
 * BatchNormalization keeps its statistics unless told otherwise: those of data that is fed in another way than when the
 * network was trained (not cropped at random, say) can cost more accuracy than an epoch gains.
 */
export async function runFinetune(path: string, flags: FinetuneFlags, io: Io, signal: AbortSignal): Promise<void> {
  const source = { name: basename(path), model: expandGrids(openModel(path)), path }
  await trainModel(source, { ...flags, freezeStatistics: flags.updateStatistics !== true }, io, signal)
}
