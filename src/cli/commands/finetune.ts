/** `coppice finetune`: trains the weights of a model on, pruned zeros kept where asked. */
import { basename } from 'node:path'
import { openModel } from '../../node/files.ts'
import type { Io } from '../io.ts'
import { trainModel } from '../train-model.ts'
import type { TrainFlags } from '../train-options.ts'

export async function runFinetune(path: string, flags: TrainFlags, io: Io, signal: AbortSignal): Promise<void> {
  await trainModel({ name: basename(path), model: openModel(path), path }, flags, io, signal)
}
