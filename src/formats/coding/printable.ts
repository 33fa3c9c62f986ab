/** Whether bytes look like a text: what is coded as one to see what takes less. */

/** The share that letters, digits, signs and spaces are, at least. */
const leastShare = 0.9

export function isPrintable(text: Uint8Array): boolean {
  const isSign = (c: number): boolean => (c >= 32 && c < 127) || c >= 160 || c === 9 || c === 10 || c === 13
  return text.reduce((n, c) => n + (isSign(c) ? 1 : 0), 0) >= leastShare * text.length
}
