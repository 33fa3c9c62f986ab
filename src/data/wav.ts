/** WAV files of one channel of 16-bit samples, as speech sets have them. Source: the RIFF/WAVE specification of 1991. */
import { UnsupportedError } from '../errors.ts'

export interface Wav {
  /** -1 to 1. */
  readonly samples: Float32Array
  /** Samples per second. */
  readonly rate: number
}

/** Throws one sentence, which begins with `subject` (the file's name), where the bytes are something else or cut short. */
export function readWav(bytes: Uint8Array, subject: string): Wav {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = (at: number): string => String.fromCharCode(...bytes.subarray(at, at + 4))
  if (bytes.length < 12 || text(0) !== 'RIFF' || text(8) !== 'WAVE') throw new Error(`${subject}: it is not a WAV file`)
  let rate: number | undefined
  for (let at = 12; at + 8 <= bytes.length; ) {
    const [kind, size] = [text(at), view.getUint32(at + 4, true)]
    const body = at + 8
    if (body + size > bytes.length) throw new Error(`${subject}: it is cut short`)
    if (kind === 'fmt ' && size >= 16) rate = rateOf(view, body, subject)
    if (kind === 'data') {
      if (rate === undefined) throw new Error(`${subject}: its samples come before their format`)
      const samples = new Float32Array(size >> 1)
      for (let i = 0; i < samples.length; i++) samples[i] = view.getInt16(body + 2 * i, true) / 32768
      return { samples, rate }
    }
    at = body + size + (size & 1)
  }
  throw new Error(`${subject}: it has no samples`)
}

function rateOf(view: DataView, at: number, subject: string): number {
  const [format, channels, bits] = [
    view.getUint16(at, true),
    view.getUint16(at + 2, true),
    view.getUint16(at + 14, true),
  ]
  if (format !== 1 || channels !== 1 || bits !== 16)
    throw new UnsupportedError(
      `${subject}: ${channels} channels of ${bits} bits in format ${format}; expected one of 16-bit samples`,
    )
  return view.getUint32(at + 4, true)
}
