/** Seeded random numbers. Every draw in the project comes from here. Source: mulberry32 (Tommy Ettinger, public domain idea). */

export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** A whole number in [0, n). */
  below(n: number): number
  /** Standard normal (Box-Muller). */
  normal(): number
  /** 32 bits of state, for checkpoints. */
  readonly state: number
}

export function random(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    below: (n) => Math.floor(next() * n),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    get state() {
      return state
    },
  }
}

/** The numbers 0..n-1 in random order (Fisher-Yates). */
export function permutation(n: number, rng: Random): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i)
  for (let i = n - 1; i > 0; i--) {
    const j = rng.below(i + 1)
    const t = order[i]
    order[i] = order[j]
    order[j] = t
  }
  return order
}
