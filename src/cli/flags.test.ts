/** Flags come from option tables, and their texts are read into checked values. */
import { Command } from 'commander'
import { expect, it } from 'vitest'
import type { OptionTable } from '../options.ts'
import { addFlags, readFlags, withFlags } from './flags.ts'

const table = {
  output: { type: 'string', required: true, short: 'o', value: 'file', help: 'the result' },
  maxLoss: { type: 'number', default: 0.5, min: 0, max: 100, help: 'points that may be lost' },
  rounds: { type: 'number', optional: true, min: 1, integer: true, help: 'rounds' },
  goal: { type: 'choice', of: ['size', 'speed', 'both'], default: 'size', help: 'what to optimise for' },
  shrink: { type: 'boolean', default: true, help: 'remove dead units' },
  flip: { type: 'boolean', default: false, help: 'mirror images' },
  pad: { type: 'number', default: 4, onlyWith: { flip: [true] }, help: 'pixels around images' },
  threads: { type: 'number', optional: true, onlyWith: { goal: ['speed', 'both'] }, help: 'threads' },
  exclude: { type: 'strings', default: [], help: 'names to leave alone' },
  inputShape: { type: 'strings', default: [], repeatable: true, help: 'sizes' },
  mean: { type: 'numbers', optional: true, help: 'means' },
  sparsities: { type: 'numbers-by-name', default: {}, help: 'shares by name' },
} as const satisfies OptionTable

function read(...words: string[]) {
  const command = addFlags(new Command('x').exitOverride().configureOutput({ writeErr() {} }), table)
  command.parse(words, { from: 'user' })
  return readFlags(table, command.opts())
}

it('fills in defaults, and undefined where an option is optional', () => {
  expect(read('-o', 'a')).toEqual({
    output: 'a',
    maxLoss: 0.5,
    rounds: undefined,
    goal: 'size',
    shrink: true,
    flip: false,
    pad: 4,
    threads: undefined,
    exclude: [],
    inputShape: [],
    mean: undefined,
    sparsities: {},
  })
})

it('reads every type', () => {
  const words = '--output b --max-loss 2 --rounds 3 --goal speed --no-shrink --flip --exclude a,b --mean 0.1,-2'
  const more = ['--input-shape', 'x=1,2', '--input-shape', 'y=3', '--sparsities', 'conv=0.5,a=b=0.25']
  expect(read(...words.split(' '), ...more)).toEqual({
    output: 'b',
    maxLoss: 2,
    rounds: 3,
    goal: 'speed',
    shrink: false,
    flip: true,
    pad: 4,
    threads: undefined,
    exclude: ['a', 'b'],
    inputShape: ['x=1,2', 'y=3'],
    mean: [0.1, -2],
    sparsities: { conv: 0.5, 'a=b': 0.25 },
  })
})

it.each([
  ['', /^--output is missing; expected -o <file>: the result$/],
  ['-o a --max-loss 200', /^--max-loss: "200"; expected a number within \[0, 100\]$/],
  ['-o a --max-loss=', /^--max-loss: ""; expected a number/],
  ['-o a --rounds 0', /^--rounds: "0"; expected a whole number of at least 1$/],
  ['-o a --goal sped', /^--goal: "sped"; expected size, speed or both; did you mean "speed"\?$/],
  ['-o a --mean 1,,2', /^--mean: "1,,2"; expected numbers separated by commas$/],
  ['-o a --sparsities conv', /^--sparsities: "conv"; expected NAME=NUMBER, several separated by commas$/],
  // Also where it is given what it has by default.
  ['-o a --pad 4', /^--pad: nothing reads it without --flip; expected --flip with it$/],
  ['-o a --threads 2', /^--threads: --goal size does not read it; expected --goal speed or both with it$/],
  // A mistyped flag is named before the one that is missing.
  ['--maxloss 1', /unknown option '--maxloss'/],
])('"%s" is refused in one sentence', (words, message) => {
  expect(() => read(...words.split(' ').filter(Boolean))).toThrow(message)
})

it('shows choices and defaults in help', () => {
  const help = addFlags(new Command('x'), table).helpInformation().replace(/\s+/g, ' ')
  expect(help).toContain('--max-loss <number> points that may be lost (default: 0.5)')
  expect(help).toContain('what to optimise for: size, speed or both (default: size)')
  expect(help).toContain('--no-shrink do not remove dead units')
})

it('names options as they are written, but not what a person wrote', () => {
  expect(withFlags(table, 'x: maxLoss is 3, and inputShape has "maxLoss" and model.maxLoss; expected less')).toBe(
    'x: --max-loss is 3, and --input-shape has "maxLoss" and model.maxLoss; expected less',
  )
  expect(withFlags(table, 'matMul and maxLosses are no options')).toBe('matMul and maxLosses are no options')
})
