#!/usr/bin/env node
/** The command line: which commands there are, their flags, how they fail. What a command takes and does is in commands/. */
import { Command, CommanderError } from 'commander'
import { version } from '../node/environment.ts'
import { useThreads } from '../runtime/session.ts'
import type { CliCommand } from './command.ts'
import { addFlags, readFlags, withFlags } from './flags.ts'
import { createIo } from './io.ts'
import { checkEndings } from './outputs.ts'

interface Listed {
  readonly help: string
  /** A command's file is read when it is called. `words`: what was written after its name. */
  load(words: readonly string[]): Promise<CliCommand>
}

const commands: Readonly<Record<string, Listed>> = {
  inspect: {
    help: 'show the layers: shapes, parameters, multiply-adds, bytes, zeros, distinct values',
    load: async () => (await import('./commands/inspect.ts')).inspectCommand,
  },
  compress: {
    help: 'make a model small or fast, measure what it kept, and write a report',
    load: async () => (await import('./commands/compress.ts')).compressCommand,
  },
  evaluate: {
    help: 'measure accuracy, agreement with a reference, latency and sizes (.onnx or .cop)',
    load: async () => (await import('./commands/evaluate.ts')).evaluateCommand,
  },
  pack: {
    help: 'store a model losslessly in fewer bytes',
    load: async () => (await import('./commands/pack.ts')).packCommand,
  },
  unpack: {
    help: 'get the model back from a packed file: every tensor bit for bit, the same graph',
    load: async () => (await import('./commands/pack.ts')).unpackCommand,
  },
  run: {
    help: 'apply a recipe: the same recipe, model and data give the same bytes',
    load: async () => (await import('./commands/run.ts')).runCommand,
  },
  methods: {
    help: 'list the methods; of one, its options',
    load: async () => (await import('./commands/methods.ts')).methodsCommand,
  },
  apply: {
    help: 'apply one method alone (coppice apply METHOD --help lists its flags)',
    load: async (words) =>
      (await import('./commands/apply.ts')).applyCommand(words.find((word) => !word.startsWith('-'))),
  },
  train: {
    help: 'train a built-in network from random weights',
    load: async () => (await import('./commands/train.ts')).trainCommand,
  },
  finetune: {
    help: 'train a model further, from the weights it has',
    load: async () => (await import('./commands/finetune.ts')).finetuneCommand,
  },
  scan: {
    help: 'measure how far each weight tensor can be pruned alone, on held-back training data',
    load: async () => (await import('./commands/scan.ts')).scanCommand,
  },
  sweep: {
    help: 'try every combination of recipes, models, data and seeds, and report which no other beats',
    load: async () => (await import('./commands/sweep.ts')).sweepCommand,
  },
  worker: {
    help: 'work at the sweeps of other machines, on a Postgres that all reach',
    load: async () => (await import('./commands/worker.ts')).workerCommand,
  },
  serve: {
    help: 'open the page on this computer: everything in the browser, nothing uploaded',
    load: async () => (await import('./commands/serve.ts')).serveCommand,
  },
  prune: {
    help: 'zero weights, at once or in rounds with training in between, and remove dead units',
    load: async () => (await import('./commands/prune.ts')).pruneCommand,
  },
}

const stop = new AbortController()

type Flags = Record<string, unknown> & { json?: boolean; debug?: boolean }

/** Runs a command's work; one sentence and exit code 1 where it fails. */
async function run(command: CliCommand, args: readonly string[], flags: Flags): Promise<void> {
  const io = createIo(flags.json === true)
  process.once('SIGINT', () => {
    stop.abort()
    io.finish()
    process.stderr.write('stopped\n')
    process.exit(130) // temporary files are removed on exit
  })
  try {
    const options = readFlags(command.options, flags)
    if (typeof options.threads === 'number') useThreads(options.threads)
    for (const note of checkEndings(command.options, options)) io.say(`note: ${note}`)
    await command.run(args, options, { io, signal: stop.signal })
  } catch (error) {
    io.finish()
    const message = withFlags(command.options, error instanceof Error ? error.message : String(error))
    process.stderr.write(`${flags.debug && error instanceof Error ? error.stack : message}\n`)
    process.exitCode = 1
  }
}

/** The program, with the flags of the one command that is called: the others are listed only. */
async function programFor([called, ...words]: readonly string[]): Promise<Command> {
  const program = new Command('coppice')
    .description('Makes neural networks small and fast: ONNX in; ONNX, a packed file and an honest report out.')
    .version(version())
    .showHelpAfterError('(coppice --help lists the commands)')
    .exitOverride()
  for (const [name, { help, load }] of Object.entries(commands)) {
    const listed = program.command(name).description(help)
    if (name !== called) continue
    const command = await load(words)
    if (command.arguments) listed.arguments(command.arguments)
    // A method that is named has flags and help of its own.
    const asked = command.help ? `${name} ${words.find((word) => !word.startsWith('-'))}` : name
    listed
      .description(command.help ?? help)
      .showHelpAfterError(`(coppice ${asked} --help lists its flags)`)
      .option('--json', 'print one JSON object on stdout and nothing else; progress as JSON lines on stderr')
      .option('--debug', 'print the stack of an error')
    addFlags(listed, command.options).action(() => run(command, listed.args, listed.opts()))
  }
  return program
}

try {
  // `coppice help compress` lists that command's flags too.
  const words = process.argv.slice(2).filter((word, i) => i > 0 || word !== 'help')
  await (await programFor(words)).parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error
  // Help and version end well; a wrong flag or a missing argument is bad input like any other.
  process.exitCode = error.exitCode === 0 ? 0 : 1
}
