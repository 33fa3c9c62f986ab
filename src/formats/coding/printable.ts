/** Whether bytes look like a text: what is coded as one to see what takes less. */

/** The share that letters, digits, signs and spaces are, at least. */
const leastShare = 0.9

export function isPrintable(text: Uint8Array): boolean {
  let signs = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    // In UTF-8, bytes below 0xc0 come after others of their character.
    const goesOn = c >= 128 && text[i - 1] >= 128
    if ((c >= 32 && c < 127) || c >= 160 || goesOn || c === 9 || c === 10 || c === 13) signs++
  }
  return signs >= leastShare * text.length
}
