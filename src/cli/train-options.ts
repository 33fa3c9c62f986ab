/** The flags of `coppice train` and `coppice finetune`. */
import type { Command } from 'commander'
import { addDataOptions, type DataFlags } from './data-options.ts'

export interface TrainFlags extends DataFlags {
  readonly output: string
  readonly epochs: string
  readonly batch: string
  readonly rate: string
  readonly optimizer: string
  readonly momentum?: string
  readonly nesterov?: boolean
  readonly decay: string
  readonly schedule: string
  readonly warmUp: string
  readonly smoothing: string
  readonly crop: string
  readonly flip?: boolean
  readonly validation: string
  readonly patience?: string
  readonly average?: string
  readonly checkpoint?: string
  readonly history?: string
  /** Of train and finetune. */
  readonly report?: string
  readonly task?: string
  readonly engine: string
  readonly threads?: string
  readonly keep?: string
  /** BatchNormalization keeps its statistics: set by finetune. */
  readonly freezeStatistics?: boolean
}

interface Defaults {
  readonly epochs: string
  readonly rate: string
}

export function addTrainOptions(command: Command, { epochs, rate }: Defaults): Command {
  return addDataOptions(command)
    .requiredOption('-o, --output <file>', 'the trained model (.onnx)')
    .option('--epochs <n>', 'passes over the training data', epochs)
    .option('--batch <n>', 'samples per step', '64')
    .option('--rate <number>', 'learning rate', rate)
    .option('--optimizer <name>', 'sgd or adam', 'sgd')
    .option('--momentum <number>', 'momentum of sgd (default: 0.9)')
    .option('--nesterov', 'use Nesterov momentum with sgd')
    .option('--decay <number>', 'weight decay; biases and normalisations have none', '0')
    .option(
      '--schedule <form>',
      'how the learning rate changes: constant, cosine, or step:EPOCH,EPOCH (times 0.1 at each)',
      'cosine',
    )
    .option('--warm-up <epochs>', 'epochs over which the learning rate rises to its full value', '0')
    .option('--smoothing <share>', 'label smoothing', '0')
    .option('--crop <pixels>', 'augment: pad images by this many pixels, then crop at random', '0')
    .option('--flip', 'augment: mirror images at random')
    .option('--validation <share>', 'share of the training data to hold back and measure after each epoch', '0')
    .option('--patience <epochs>', 'stop after this many epochs without a better validation loss, and keep the best')
    .option('--average <decay>', 'keep an exponential moving average of the weights with this decay, such as 0.999')
    .option('--checkpoint <file>', 'save progress here each epoch; the same command later goes on from it')
    .option(
      '--task <task>',
      'what is learnt: classes, binary, labels, numbers, tokens or mask, or OUTPUT=KIND (default: what the data and the model say)',
    )
    .option('--history <file>', 'also write loss and accuracy of each epoch (.json)')
    .option(
      '--engine <engine>',
      'how gradients are computed: blocked (faster, not on all processors), plain, or auto',
      'auto',
    )
}
