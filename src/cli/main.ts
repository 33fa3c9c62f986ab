#!/usr/bin/env node
/** The command line: flags, help, errors. What a command does is in commands/, loaded when it is called. */
import { Command, CommanderError } from 'commander'
import { useThreads } from '../runtime/session.ts'
import { addDataOptions, addShapeOption } from './data-options.ts'
import { version } from './environment.ts'
import { createIo, type Io, numberOption } from './io.ts'
import { addTrainOptions } from './train-options.ts'

const program = new Command('coppice')
  .description('Makes neural networks small and fast: ONNX in; ONNX, a packed file and an honest report out.')
  .version(version())
  .showHelpAfterError('(coppice --help lists the commands)')
  .exitOverride()

const stop = new AbortController()

/** A command's flags that every command has, and how its failure is told. */
function command(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option('--json', 'print one JSON object on stdout and nothing else; progress as JSON lines on stderr')
    .option('--debug', 'print the stack of an error')
}

const compareSizes = 'also measure what gzip 9 and brotli 11 make of the .onnx: about two seconds per megabyte'

const threadsToWorkOn = 'threads to work on (default: one per core); the bytes are the same'

/** Of commands that run models. */
function addThreads(of: Command): Command {
  return of.option('--threads <n>', "threads that ONNX Runtime runs models with (default: ONNX Runtime's own choice)")
}

const taskHelp =
  'what the outputs mean, as KIND or OUTPUT=KIND between commas: classes, binary, labels, numbers, embedding, image, mask, tokens, state or ignored (default: guessed, and said)'

type Flags = { json?: boolean; debug?: boolean; threads?: string }

/** Runs a command's work; one sentence and exit code 1 where it fails. */
async function run(flags: Flags, work: (io: Io) => Promise<unknown>): Promise<void> {
  const io = createIo(flags.json === true)
  process.once('SIGINT', () => {
    stop.abort()
    io.finish()
    process.stderr.write('stopped\n')
    process.exit(130) // temporary files are removed on exit
  })
  try {
    if (flags.threads !== undefined)
      useThreads(numberOption(flags.threads, '--threads', { min: 1, max: 1024, integer: true }))
    await work(io)
  } catch (error) {
    io.finish()
    fail(error, flags)
  }
}

function fail(error: unknown, flags: Flags): void {
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(`${flags.debug && error instanceof Error ? error.stack : message}\n`)
  process.exitCode = 1
}

addShapeOption(
  command('inspect <model>', 'show the layers: shapes, parameters, multiply-adds, bytes, zeros, distinct values'),
).action((model: string, flags) =>
  run(flags, async () => {
    const { runInspect } = await import('./commands/inspect.ts')
    const { output, error } = await runInspect(model, flags)
    process.stdout.write(`${output}\n`)
    if (error) throw error
  }),
)

addThreads(
  addDataOptions(command('compress <model>', 'make a model small or fast, measure what it kept, and write a report')),
)
  .requiredOption('-o, --output <file>', 'the compressed model (.onnx)')
  .option('--goal <goal>', 'what to optimise for: size or speed', 'size')
  .option(
    '--max-loss <loss>',
    'what may be lost: points of accuracy or agreement (0.5), noise (30dB or 3%), or one of each between commas',
    '0.5',
  )
  .option('--task <task>', taskHelp)
  .option('--pack <file>', 'also write the packed file (.cop)')
  .option('--pack-mode <mode>', 'how hard the packer tries: fast, default or max', 'default')
  .option('--report <file>', 'also write the report (.html)')
  .option(
    '--recipe <file>',
    'where to write the recipe, with which `coppice run` repeats the result (default: beside the output)',
  )
  .option('--no-latency', 'do not measure how long a call takes')
  .option('--keep-metadata', "keep exporters' notes (stack traces, class names, paths), which are left out otherwise")
  .option('--compare-sizes', compareSizes)
  .action((model: string, flags) =>
    run(flags, async (io) => (await import('./commands/compress.ts')).runCompress(model, flags, io, stop.signal)),
  )

addThreads(
  addDataOptions(
    command('evaluate <model>', 'measure accuracy, agreement with a reference, latency and sizes (.onnx or .cop)'),
  ),
)
  .option('--against <reference>', 'a model to compare with, side by side')
  .option('--task <task>', taskHelp)
  .option('--compare-sizes', compareSizes)
  .action((model: string, flags) =>
    run(flags, async (io) => (await import('./commands/evaluate.ts')).runEvaluate(model, flags, io, stop.signal)),
  )

command('pack <model>', 'store a model losslessly in fewer bytes')
  .requiredOption('-o, --output <file>', 'the packed file (.cop)')
  .option('--mode <mode>', 'how hard the packer tries: fast, default or max', 'default')
  .option('--threads <n>', threadsToWorkOn)
  .option('--compare-sizes', compareSizes)
  .action((model: string, flags) =>
    run(flags, async (io) => (await import('./commands/pack.ts')).runPack(model, flags, io)),
  )

command('unpack <file>', 'get the model back from a packed file: every tensor bit for bit, the same graph')
  .requiredOption('-o, --output <file>', 'the model (.onnx); beyond 2 GiB its weights lie beside it (.onnx.data)')
  .option('--threads <n>', threadsToWorkOn)
  .action((file: string, flags) =>
    run(flags, async (io) => (await import('./commands/pack.ts')).runUnpack(file, flags, io)),
  )

addThreads(command('run <recipe> <model>', 'apply a recipe: the same recipe, model and data give the same bytes'))
  .requiredOption('-o, --output <file>', 'the result (.onnx)')
  .option('--data <spec>', 'calibration data, instead of what the recipe names')
  .action((recipe: string, model: string, flags) =>
    run(flags, async (io) => (await import('./commands/run.ts')).runRecipe(recipe, model, flags, io, stop.signal)),
  )

addThreads(
  addTrainOptions(command('train <net>', 'train a built-in network from random weights'), {
    epochs: '10',
    rate: '0.05',
  }),
)
  .option('--classes <n>', 'number of classes (default: that of the network)')
  .option('--input <shape>', 'CHANNELS,HEIGHT,WIDTH of its input (default: those of the network)')
  .option('--width <factor>', "multiply every layer's channels by this")
  .option('--stem <stem>', 'imagenet, or cifar for small images: the form of the first layers')
  .option(
    '--pooled <side>',
    'height and width that the last feature map is pooled to before the dense layers of AlexNet or VGG',
  )
  .option('--report <file>', 'also draw loss and accuracy (.html)')
  .action((net: string, flags) =>
    run(flags, async (io) => (await import('./commands/train.ts')).runTrain(net, flags, io, stop.signal)),
  )

addThreads(
  addTrainOptions(command('finetune <model>', 'train a model further, from the weights it has'), {
    epochs: '1',
    rate: '0.001',
  }),
)
  .option(
    '--keep <what>',
    'zeros: weights that are zero stay zero, so that a pruned model stays pruned; or none',
    'zeros',
  )
  .option('--update-statistics', 'update BatchNormalization statistics from the data; by default they stay as they are')
  .option('--report <file>', 'also draw loss and accuracy (.html)')
  .action((model: string, flags) =>
    run(flags, async (io) => (await import('./commands/finetune.ts')).runFinetune(model, flags, io, stop.signal)),
  )

addThreads(
  addDataOptions(
    command('scan <model>', 'measure how far each weight tensor can be pruned alone, on held-back training data'),
  ),
)
  .option('-o, --output <file>', 'the curves (.json), from which a later run goes on (default: beside the model)')
  .option('--report <file>', 'also draw the curves (.html)')
  .option('--sparsities <numbers>', 'shares of zeros to measure at, between commas (default: 0.1 to 0.9)')
  .option('--max-loss <points>', 'most points of accuracy that pruning one tensor may lose', '1')
  .option('--samples <n>', 'training samples that are held back to measure on', '2000')
  .option('--unit <unit>', 'element or filter: whether single weights or whole filters are zeroed', 'element')
  .option(
    '--retrain <epochs>',
    'train up to this many epochs before measuring each point; 0: measure without training',
    '0',
  )
  .option('--retrain-samples <n>', 'samples to retrain on; a fifth of them decides when to stop', '10000')
  .option('--rate <number>', 'learning rate of --retrain', '0.01')
  .action((model: string, flags) =>
    run(flags, async (io) => (await import('./commands/scan.ts')).runScan(model, flags, io, stop.signal)),
  )

addThreads(
  addTrainOptions(
    command('prune <model>', 'zero weights, at once or in rounds with training in between, and remove dead units'),
    { epochs: '1', rate: '0.01' },
  ),
)
  .option('--sparsity <share>', 'share of the weights that are zero at the end (default: 0.5)')
  .option('--scan <file>', "a scan's file: each tensor is pruned as it recommends, instead of --sparsity")
  .option('--quality <q>', 'weights below q standard deviations of their tensor go, instead of --sparsity')
  .option(
    '--scope <scope>',
    'layer: each tensor is pruned by the same share; global: all weights are ranked together',
    'layer',
  )
  .option(
    '--score <score>',
    'how weights are ranked for removal: magnitude, lamp (magnitude relative to the layer; for --scope global), taylor, obd, or obs (which also adjusts the weights that stay)',
    'magnitude',
  )
  .option('--diagonal <from>', "fisher or hessian: how obd estimates the Hessian's diagonal (default: fisher)")
  .option('--unit <unit>', 'element or filter: whether single weights or whole filters are zeroed', 'element')
  .option(
    '--pruning <schedule>',
    'one-shot, iterative (each round the same share of what is left) or gradual (ever less per round, by a cubic)',
    'one-shot',
  )
  .option('--rounds <n>', 'rounds of iterative and gradual pruning (default: 5), each followed by --epochs of training')
  .option('--final-epochs <n>', 'epochs after the last round, instead of --epochs')
  .option(
    '--restart',
    'before training, replace all remaining weights by new random ones, instead of training them further',
  )
  .option('--exclude <names>', 'weights to leave alone, between commas')
  .option('--no-shrink', 'do not remove dead units: tensors keep their shapes')
  .action((model: string, flags) =>
    run(flags, async (io) => (await import('./commands/prune.ts')).runPrune(model, flags, io, stop.signal)),
  )

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error
  // Help and version end well; a wrong flag or a missing argument is bad input like any other.
  process.exitCode = error.exitCode === 0 ? 0 : 1
}
