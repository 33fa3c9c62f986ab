/** Making plain data ready to be sent to a thread. */

/**
 * The value with every array of bytes or numbers in memory of its own, and that memory, which is to be moved instead of copied:
 * a view of a large file would take all of the file along.
 */
export function isolated(value: unknown, keep = true): { value: unknown; buffers: ArrayBuffer[] } {
  const buffers = new Set<ArrayBuffer>()
  const copies = new Map<ArrayBufferView, ArrayBufferView>()
  const walk = (v: unknown): unknown => {
    if (ArrayBuffer.isView(v)) {
      const array = v as Uint8Array
      const known = copies.get(array)
      if (known) return known
      const whole = array.byteLength === array.buffer.byteLength && array.buffer instanceof ArrayBuffer
      // Not `slice`: of a Buffer that is no copy.
      const own = whole && !keep && !buffers.has(array.buffer as ArrayBuffer) ? array : new (plainOf(array))(array)
      buffers.add(own.buffer as ArrayBuffer)
      copies.set(array, own)
      return own
    }
    if (Array.isArray(v)) return v.map(walk)
    if (v && typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, inner]) => [k, walk(inner)]))
    return v
  }
  return { value: walk(value), buffers: [...buffers] }
}

/** The array's type; of Node's Buffer, what it extends. */
function plainOf(array: ArrayBufferView): new (from: ArrayBufferView) => Uint8Array {
  return (array instanceof Uint8Array ? Uint8Array : array.constructor) as new (
    from: ArrayBufferView,
  ) => Uint8Array
}
