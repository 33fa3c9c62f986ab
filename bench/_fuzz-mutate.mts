/** Seeded mutations of bytes, and of the parts of packed files, whose lengths and checksums are then right again. */
import { type Container, readContents, readGroup, writeContainer } from '../src/formats/container.ts'
import type { Random } from '../src/tensor/random.ts'

const oddBytes = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff]

/** Changes of 1 to 4 kinds in a copy: bits, bytes, runs, 32-bit extremes, cuts, repeats, parts of `other`. */
export function mutateBytes(bytes: Uint8Array, rng: Random, other: Uint8Array = bytes): Uint8Array {
  let out: Uint8Array = bytes.slice()
  for (let n = 1 + rng.below(4); n > 0; n--) {
    const { length } = out
    const at = rng.below(length + 1)
    const end = Math.min(length, at + 1 + rng.below(8))
    switch (rng.below(length === 0 ? 1 : 10)) {
      case 0:
        out = joined(out.subarray(0, at), randomBytes(1 + rng.below(8), rng), out.subarray(at))
        break
      case 1:
        out = joined(out.subarray(0, at), out.subarray(end))
        break
      case 2:
        if (rng.below(4) === 0) out = out.slice(0, at)
        break
      case 3:
        out = joined(out.subarray(0, at), out.subarray(at, at + rng.below(64)), out.subarray(at))
        break
      case 4: {
        const from = rng.below(other.length + 1)
        out = joined(out.subarray(0, at), other.subarray(from, from + rng.below(32)), out.subarray(at))
        break
      }
      case 5:
        out.fill(rng.below(2) === 0 ? 255 : 0, at, Math.min(length, at + 4))
        break
      case 6:
        out.set(randomBytes(end - at, rng), at)
        break
      case 7:
        out[at % length] = oddBytes[rng.below(oddBytes.length)]
        break
      case 8:
        out[at % length] += rng.below(2) === 0 ? 1 : -1
        break
      default:
        out[at % length] ^= 1 << rng.below(8)
    }
  }
  return out
}

/** A whole number like `value`, or at one of the edges where sizes go wrong. */
export function mutateNumber(value: number, rng: Random): number {
  const edges = [0, 1, 2, 127, 128, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 48]
  switch (rng.below(4)) {
    case 0:
      return edges[rng.below(edges.length)]
    case 1:
      return Math.max(0, value + rng.below(9) - 4)
    case 2:
      return value * (1 + rng.below(16))
    default:
      return rng.below(2 ** (1 + rng.below(31)))
  }
}

/** A packed file with one of its parts changed: the head's bytes, a group's, a size, the mode. All checksums fit. */
export function mutateContainer(file: Uint8Array, rng: Random, other: Uint8Array): Uint8Array {
  const contents = readContents(file)
  const groups = contents.groups.map((g, i) =>
    readGroup(contents, i, file.subarray(g.at, g.at + g.integersLength + g.rawLength)),
  )
  const changed: { -readonly [K in keyof Container]: Container[K] } = { ...contents, groups }
  const at = rng.below(Math.max(1, groups.length))
  const kind = rng.below(12)
  if (kind < 5 || groups.length === 0) changed.head = mutateBytes(contents.head, rng, readContents(other).head)
  else if (kind < 7)
    changed.groups = groups.with(at, { ...groups[at], integers: mutateBytes(groups[at].integers, rng) })
  else if (kind < 9) changed.groups = groups.with(at, { ...groups[at], raw: mutateBytes(groups[at].raw, rng) })
  else if (kind === 9) changed.byteLength = mutateNumber(contents.byteLength, rng)
  else if (kind === 10) changed.graphByteLength = mutateNumber(contents.graphByteLength, rng)
  else changed.groups = rng.below(2) === 0 ? groups.slice(0, at) : [...groups, groups[at]]
  if (rng.below(8) === 0) changed.mode = (['fast', 'default', 'max'] as const)[rng.below(3)]
  return writeContainer(changed)
}

export function randomBytes(length: number, rng: Random): Uint8Array {
  return Uint8Array.from({ length }, () => rng.below(256))
}

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}
