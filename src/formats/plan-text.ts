/** Whether an encoder codes a text as plain text (plain-text.ts). */
import { isPrintable } from './coding/printable.ts'
import { BitCounter } from './entropy/bit-counter.ts'
import { ContextMixer } from './entropy/context-mixer.ts'
import { type PlanText, type TextSoFar, textCoder } from './name-coder.ts'
import { codePlain, plainForms } from './plain-text.ts'

/** Bytes from which on a text may be plain, and may be coded as a tensor of bytes, which have all to learn. */
const fewest = 512
const fewestAsTensor = 4096
/** Bytes of a text that are coded to see what takes less. */
const sampled = 1 << 16
/** A short text is not plain where the byte that last followed the same three comes again so many times as often, and more, as after one. */
const predictable = 2
const few = 8

/** Told by coding it in all ways, unless it is short and most of it can be expected. */
export const planText: PlanText = (bytes, soFar) => {
  const isLong = bytes.length >= fewestAsTensor
  if (!isLong && (bytes.length < fewest || isPredictable(bytes))) return undefined
  const sample = bytes.subarray(0, sampled)
  let best: number | undefined
  let least = bitsAsText(sample, soFar)
  for (const form of Object.values(plainForms)) {
    if (form === plainForms.bytes && !isLong) continue
    const counter = new BitCounter()
    codePlain(counter, { form, length: sample.length, bytes: sample }, structuredClone(soFar.memory.plain))
    if (counter.bits < least) {
      best = form
      least = counter.bits
    }
  }
  return best
}

/** Numbers from which on a list may be a text. */
const fewestCharacters = 256

/** The text whose characters, as numbers, a list is, if it is one. */
export function charactersOf(values: readonly number[]): Uint8Array | undefined {
  if (values.length < fewestCharacters || !values.every((v) => v >= 0 && v < 256)) return undefined
  const text = Uint8Array.from(values)
  return isPrintable(text) ? text : undefined
}

/** With what was learnt so far, which stays as it is. */
function bitsAsText(text: Uint8Array, { mixer, memory, place, isName }: TextSoFar): number {
  const counter = new BitCounter()
  const none = () => {}
  const code = textCoder(
    new ContextMixer(counter, { learnt: mixer.learnt }),
    { count: none, check: none },
    structuredClone(memory),
  )
  code(text, place, isName)
  return counter.bits
}

/** Whether the last three bytes tell clearly more than the last one. */
function isPredictable(text: Uint8Array): boolean {
  const afterOne = new Uint8Array(1 << 8)
  const afterThree = new Uint8Array(1 << 16)
  let rightByOne = 0
  let rightByThree = 0
  for (let i = 3; i < text.length; i++) {
    const three = (text[i - 1] ^ (text[i - 2] << 4) ^ (text[i - 3] << 8)) & 0xffff
    if (afterOne[text[i - 1]] === text[i]) rightByOne++
    if (afterThree[three] === text[i]) rightByThree++
    afterOne[text[i - 1]] = text[i]
    afterThree[three] = text[i]
  }
  return rightByThree > predictable * rightByOne + few
}
