/** The options of `compress`, in code as on the command line. */
import type { OptionTable } from '../options.ts'

export const compressTable = {
  goal: {
    type: 'choice',
    of: ['size', 'speed'],
    default: 'size',
    value: 'goal',
    help: 'what to optimise for: size or speed',
  },
  maxLoss: {
    type: 'string',
    default: '0.5',
    value: 'loss',
    help: 'what may be lost: points of accuracy or agreement (0.5), noise (30dB or 3%), or one of each, separated by commas',
  },
  train: {
    type: 'boolean',
    default: false,
    help: 'for size: also train the model on the data, with the size of its packed file as part of the loss, which takes as long as --budget says',
  },
  budget: {
    type: 'number',
    optional: true,
    min: 0.01,
    max: 100_000,
    value: 'minutes',
    onlyWith: { train: [true] },
    help: 'how long --train may train (default: 30)',
  },
  crop: {
    type: 'number',
    optional: true,
    min: 0,
    max: 1000,
    integer: true,
    value: 'pixels',
    onlyWith: { train: [true] },
    help: 'of --train: pad images by this many pixels, then crop at random',
  },
  flip: {
    type: 'boolean',
    default: false,
    onlyWith: { train: [true] },
    help: 'of --train: mirror images at random',
  },
  mixup: {
    type: 'number',
    optional: true,
    min: 0,
    max: 1,
    value: 'a',
    onlyWith: { train: [true] },
    help: 'of --train: mix samples and their answers in pairs, the share of each from Beta(a, a)',
  },
  task: {
    type: 'string',
    optional: true,
    value: 'task',
    help: 'what the outputs mean, as KIND or OUTPUT=KIND, separated by commas: classes, binary, labels, numbers, embedding, image, mask, tokens, state or ignored (default: guessed, and printed)',
  },
  mode: {
    was: 'packMode',
    type: 'choice',
    of: ['fast', 'default', 'max'],
    default: 'default',
    value: 'mode',
    help: 'how hard the packer tries: fast, default or max',
  },
  keepMetadata: {
    type: 'boolean',
    default: false,
    help: "keep exporters' notes (stack traces, class names, paths), which are removed otherwise",
  },
  preprocessCheck: {
    type: 'boolean',
    default: true,
    help: 'try whether another normalisation of images suits the model better',
  },
  seed: {
    type: 'number',
    default: 0,
    min: 0,
    max: 2 ** 32 - 1,
    integer: true,
    help: 'seed of every random draw',
  },
} as const satisfies OptionTable
