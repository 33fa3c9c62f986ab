/** Arrays that grow, and one sentence where there is not enough memory. */

/** A longer array that begins as this one: twice as long, unless `length` says how long. */
export function grown<T extends Uint8Array | Uint32Array | Int32Array>(array: T, length = 2 * array.length): T {
  const out = new (array.constructor as new (length: number) => T)(length)
  out.set(array)
  return out
}

/** Numbers of 32 bits that are appended one by one. Engines end the process where a plain array reaches some 112 million. */
export class Numbers {
  private array = new Uint32Array(256)
  length = 0

  push(value: number): void {
    if (this.length === this.array.length) this.array = grown(this.array)
    this.array[this.length++] = value
  }

  /** A view of them, of use until the next `push`. */
  get all(): Uint32Array<ArrayBuffer> {
    return this.array.subarray(0, this.length)
  }
}

/** What `make` gives; where the engine has no memory for it, the error is a sentence. */
export function withMemory<T>(what: string, make: () => T): T {
  try {
    return make()
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw new Error(`cop: there is not enough memory for ${what}; expected a smaller model`, { cause })
  }
}
