/**
 * Long texts as files hold them that are no sentences: keys, pictures in base64, tables, vocabularies, other files; and long lists of
 * numbers that are the characters of a text, or beyond 32 bits.
 */
import { node } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { permutation, type Random, random } from '../tensor/random.ts'
import { modelOf } from './exported-structures.ts'

const bytes = (rng: Random, n: number): Buffer => Buffer.from(Uint8Array.from({ length: n }, () => rng.below(256)))
const list = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i))
const word = (rng: Random): string => list(2 + rng.below(6), () => 'aeioulnrst'[rng.below(10)]).join('')

const texts: Record<string, (rng: Random) => string[]> = {
  'a short key': (rng) => [bytes(rng, 300).toString('hex')],
  'a key': (rng) => [bytes(rng, 4000).toString('hex')],
  'a picture in base64': (rng) => [bytes(rng, 9000).toString('base64')],
  'pictures in base64': (rng) => list(20, () => bytes(rng, 700).toString('base64')),
  'pictures in base64 within JSON': (rng) => [JSON.stringify(list(60, () => bytes(rng, 600).toString('base64')))],
  'small pictures in base64': (rng) => list(200, () => bytes(rng, 300).toString('base64')),
  'the same picture twice': (rng) => {
    const picture = bytes(rng, 5000).toString('base64')
    return [picture, picture]
  },
  'letters of two bytes': (rng) => [list(5000, () => String.fromCharCode(0x430 + rng.below(32))).join('')],
  'a sequence of bases': (rng) => [list(8000, () => 'ACGT'[rng.below(4)]).join('')],
  'characters that a reader knows': (rng) => [
    Array.from(permutation(3000, rng), (i) => String.fromCodePoint(0x4e00 + i)).join('\n'),
  ],
  'identifiers of classes': (rng) => [
    JSON.stringify(Object.fromEntries(list(300, (i) => [i, bytes(rng, 16).toString('hex')]))),
  ],
  'names of classes': (rng) => [JSON.stringify(Object.fromEntries(list(1500, (i) => [i, word(rng)])))],
  'a table of numbers': (rng) => [list(500, () => list(6, () => rng.normal().toFixed(6)).join(',')).join('\n')],
}

/** Made models with such texts in their metadata, with another file in an attribute, and with such lists. */
export function longTexts(): Record<string, Model> {
  const withTexts = (all: readonly string[]): Model => ({
    ...modelOf([node('Relu', ['x'], ['y'])], []),
    metadata: all.map((value, i) => ({ key: `text ${i}`, value })),
  })
  const rng = random(17)
  const blob = node('Context', ['x'], ['y'], { data: { type: 'string', value: new Uint8Array(bytes(rng, 6000)) } })
  const names = new TextEncoder().encode(list(900, () => word(rng)).join(' '))
  const ids = list(700, () => 3e9 + rng.below(2 ** 32)).sort((a, b) => a - b)
  const numbers = (name: string, value: readonly (number | bigint)[]): Model =>
    modelOf([node('Table', ['x'], ['y'], { [name]: { type: 'ints', value } })], [])
  return {
    'characters in a list of numbers': numbers('characters', [...names]),
    'identifiers in order': numbers('keys', ids),
    'numbers of 64 bits': numbers(
      'hashes',
      list(40, (i) => BigInt.asIntN(64, BigInt(ids[i]) * 0x9e3779b97f4a7c15n)),
    ),
    ...Object.fromEntries(Object.entries(texts).map(([name, make]) => [name, withTexts(make(random(17)))])),
    'compiled code': { ...modelOf([blob], []), metadata: [] },
  }
}
