/** Option tables: defaults, checks, names of before. */
import { expect, it } from 'vitest'
import { checkOptions, type OptionTable } from './options.ts'

const table = {
  share: { type: 'number', default: 0.5, min: 0, max: 1, help: 'a share' },
  rounds: { type: 'number', optional: true, integer: true, help: 'rounds' },
  unit: { type: 'choice', of: ['element', 'filter'], default: 'element', help: 'what goes at once' },
  minElements: { type: 'number', was: 'minSize', default: 8, help: 'least elements' },
  names: { type: 'strings', default: [], help: 'names' },
  shares: { type: 'numbers-by-name', default: {}, help: 'shares by name' },
} as const satisfies OptionTable

const conditions = {
  by: { type: 'choice', of: ['energy', 'share', 'noise'], default: 'share', help: 'the rule' },
  energy: {
    type: 'number',
    default: 0.9,
    onlyWith: { by: ['energy', 'noise'], rank: 'not given' },
    help: 'what is kept',
  },
  rank: { type: 'number', optional: true, help: 'in place of a rule' },
  alpha: { type: 'number', default: 0, help: 'share of a teacher' },
  heat: { type: 'number', optional: true, onlyWith: { alpha: 'above 0' }, help: 'of the teacher' },
  bits: { type: 'numbers-by-name', default: {}, help: 'bits by name' },
  exact: { type: 'boolean', default: false, onlyWith: { bits: 'given', elsewhere: 'given' }, help: 'keep them' },
} as const satisfies OptionTable

it.each([
  [{ energy: 0.5 }, 'm: energy: by share does not read it; expected by energy or noise with it'],
  [{ energy: 0.5, by: 'noise', rank: 3 }, 'm: energy: rank is given too; expected one of them'],
  [{ heat: 2 }, 'm: heat: alpha 0 does not read it; expected alpha above 0 with it'],
  [{ exact: true }, 'm: exact: nothing reads it without bits; expected bits with it'],
])('refuses what nothing reads: %j', (given, message) => {
  expect(() => checkOptions('m', conditions, given as object)).toThrow(message)
})

it.each([
  // As recipes have it that hold every option.
  { energy: 0.9, by: 'share', rank: 3, heat: undefined, exact: false },
  { energy: 0.5, by: 'energy', alpha: 0.1, heat: 2, bits: { a: 2 }, exact: true },
])('takes what is read, and defaults that are not: %j', (given) => {
  expect(() => checkOptions('m', conditions, given as object)).not.toThrow()
})

it('fills in defaults; an optional one stays undefined', () => {
  const options = checkOptions('m', table, { unit: 'filter' })
  expect(options).toEqual({ share: 0.5, rounds: undefined, unit: 'filter', minElements: 8, names: [], shares: {} })
})

it('takes the names that recipes of before have', () => {
  expect(checkOptions('m', table, { minSize: 3 } as object).minElements).toBe(3)
})

it.each([
  [{ share: 1.5 }, 'm: share must be a number within [0, 1], got 1.5'],
  [{ share: '0.5' }, 'm: share must be a number within [0, 1], got 0.5'],
  [{ rounds: 1.5 }, 'm: rounds must be a whole number, got 1.5'],
  [{ unit: 'filtre' }, 'm: unit must be element or filter, got filtre'],
  [{ names: [1] }, 'm: names must be a list of strings, got [1]'],
  [{ shares: { a: 'x' } }, 'm: shares must be an object with a number for each name, got {"a":"x"}'],
  [{ shar: 1 }, 'm: there is no option "shar"; did you mean "share"?; expected share, rounds'],
])('refuses %j', (given, message) => {
  expect(() => checkOptions('m', table, given as object)).toThrow(message)
})
