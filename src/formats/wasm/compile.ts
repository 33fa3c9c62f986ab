/**
 * Compiles an embedded WebAssembly module; null where there is none to be had (no SIMD, a content policy, a main thread that
 * forbids compiling in one go). Embedded as text (tools/build-wasm.mts): bytes below 88 are one sign each, all others two. Most
 * are, so gzip makes a tenth less of it than of hex, and a quarter less than of base64, which hides what repeats.
 */
export function compileWasm(text: string): WebAssembly.Module | null {
  if (typeof WebAssembly !== 'object') return null
  const bytes: number[] = []
  let taken = 0
  for (let i = 0; i < text.length; i++) {
    const n = text.charCodeAt(i) - firstSign
    if (n < perSign) bytes.push(taken + n)
    taken = n < perSign ? 0 : (n - perSign + 1) * perSign
  }
  try {
    return new WebAssembly.Module(Uint8Array.from(bytes))
  } catch {
    return null
  }
}

/** Signs of printable ASCII from '#' on: these, and two more. */
export const perSign = 88
export const firstSign = 35
