/** How small a general compressor would make bytes, told in one quick pass: what comes again as it was, and how unlike the rest is. */

/** Bytes that must come again to count. */
const least = 6
/** Bits that one repeat takes to tell. */
const bitsOfRepeat = 24
const tableBits = 16

/** About how many bytes they take: repeats of 6 bytes and more, where the same 6 were last, and the entropy of the other bytes. */
export function bytesWithoutRepeats(bytes: Uint8Array): number {
  const places = new Int32Array(1 << tableBits).fill(-1)
  const counts = new Uint32Array(256)
  let [repeats, others, at] = [0, 0, 0]
  while (at < bytes.length) {
    const key = keyOf(bytes, at)
    const before = places[key]
    places[key] = at
    let length = 0
    if (before >= 0) while (at + length < bytes.length && bytes[before + length] === bytes[at + length]) length++
    if (length >= least) repeats++
    else {
      length = 1
      counts[bytes[at]]++
      others++
    }
    at += length
  }
  let bits = repeats * bitsOfRepeat
  for (const count of counts) if (count > 0) bits += count * Math.log2(others / count)
  return bits / 8
}

function keyOf(bytes: Uint8Array, at: number): number {
  let key = 0
  for (let i = at; i < at + least; i++) key = Math.imul(key, 0x9e3779b1) + (bytes[i] ?? 0) + 1
  return Math.imul(key, 0x85ebca6b) >>> (32 - tableBits)
}
