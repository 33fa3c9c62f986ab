/** What a sweep's file may say, and the sentence where it says something else. */
import { describe, expect, test } from 'vitest'
import { cellsOf } from './plan.ts'
import { parseSweep } from './sweep-file.ts'

const recipes = [{ steps: [['share', { values: 8 }]] }]
const base = { coppice: 1, models: ['a/net.onnx'], recipes }
const recipeFile = JSON.stringify({ coppice: 1, seed: 3, steps: [['compact', {}]] })

const parse = (value: unknown) =>
  parseSweep(typeof value === 'string' ? value : JSON.stringify(value), 's.json', (file) => {
    if (file !== 'small.json') throw new Error(`${file}: there is no such file`)
    return recipeFile
  })

describe('a sweep file', () => {
  test('its grid is written out, each combination with its own name', async () => {
    const steps = [
      ['magnitude', { sparsity: '$s' }],
      ['share', { values: '$n' }],
    ]
    const sweep = await parse({
      ...base,
      models: ['a/net.onnx', { name: 'wide', file: 'w.onnx' }],
      data: ['digits:100', { name: 'bgr', data: 'images:d', channels: 'BGR', samples: 9 }],
      recipes: ['small.json', { name: 'both', steps, grid: { s: [0.5, 0.9], n: [4, 16, 64] } }],
      seeds: [0, 1],
    })
    expect(sweep.recipes.map((r) => r.name)).toEqual([
      ...['small', 'both s=0.5 n=4', 'both s=0.5 n=16', 'both s=0.5 n=64'],
      ...['both s=0.9 n=4', 'both s=0.9 n=16', 'both s=0.9 n=64'],
    ])
    expect(sweep.recipes[6].steps).toEqual([
      ['magnitude', { sparsity: 0.9 }],
      ['share', { values: 64 }],
    ])
    expect(cellsOf(sweep)).toHaveLength(2 * 2 * 7 * 2)
  })

  test('data may be left out, and so may seeds', async () => {
    const sweep = await parse(base)
    expect(sweep).toMatchObject({ data: [{ name: 'random', data: 'random' }], seeds: [0], latency: true })
    expect(sweep.models).toEqual([{ name: 'net', file: 'a/net.onnx' }])
  })

  test.each<[string, unknown, RegExp]>([
    ['no JSON', '{', /^s\.json: it is not JSON/],
    ['no object', [], /^s\.json: \[\]; expected an object/],
    ['no version', { ...base, coppice: 2 }, /"coppice": 1/],
    ['a mistyped word', { ...base, recipe: [] }, /there is no "recipe"; did you mean "recipes"/],
    ['no models', { ...base, models: [] }, /"models" is \[\]; expected a list/],
    ['no recipes', { coppice: 1, models: ['a.onnx'] }, /"recipes" is missing/],
    ['a broken seed', { ...base, seeds: [0.5] }, /the seed 0.5; expected a whole number/],
    ['a seed twice', { ...base, seeds: [1, 1] }, /"seeds" has one of them twice/],
    ['two of one name', { ...base, models: ['a/n.onnx', 'b/n.onnx'] }, /two of its models are called "n"/],
    ['an unknown method', { ...base, recipes: [{ steps: [['shar', {}]] }] }, /shar.*did you mean "share"/],
    [
      'a wrong option',
      { ...base, recipes: [{ steps: [['share', { values: -1 }]] }] },
      /^s\.json: share: values must be/,
    ],
    ['steps and file', { ...base, recipes: [{ file: 'small.json', steps: [] }] }, /either its "file" or its "steps"/],
    ['a missing recipe', { ...base, recipes: ['no.json'] }, /^no\.json: there is no such file/],
    [
      'an unknown variable',
      { ...base, recipes: [{ steps: [['share', { values: '$n' }]] }] },
      /"\$n" stands for nothing/,
    ],
    ['an unused variable', { ...base, recipes: [{ ...recipes[0], grid: { n: [1] } }] }, /no step uses "\$n"/],
    ['an empty grid', { ...base, recipes: [{ ...recipes[0], grid: { n: [] } }] }, /"n" of "grid" is \[\]/],
    ['a wrong mean', { ...base, data: [{ data: 'digits', mean: 'x' }] }, /"mean" of the data digits is "x"/],
    ['latency as text', { ...base, latency: 'no' }, /"latency" is "no"; expected true or false/],
  ])('%s is one sentence', async (_, value, sentence) => {
    await expect(parse(value)).rejects.toThrow(sentence)
  })
})
