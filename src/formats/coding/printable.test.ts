import { expect, it } from 'vitest'
import { random } from '../../tensor/random.ts'
import { isPrintable } from './printable.ts'

it.each(['plain text, with signs; and lines\n', 'по-русски', '漢字かな交じり文', 'עברית'])('%s is text', (text) => {
  expect(isPrintable(new TextEncoder().encode(text.repeat(9)))).toBe(true)
})

it('random bytes are none', () => {
  const rng = random(3)
  expect(isPrintable(Uint8Array.from({ length: 2000 }, () => rng.below(256)))).toBe(false)
})
