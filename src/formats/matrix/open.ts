/** Opens an encoded matrix of any format, by the byte that names it. */
import * as formats from './index.ts'
import { formatCodeOf, type MatrixFormat, type OpenedMatrix, type OpenOptions } from './matrix.ts'

const byCode = new Map<number, MatrixFormat>((Object.values(formats) as MatrixFormat[]).map((f) => [f.code, f]))

export function openMatrix(bytes: Uint8Array, options?: OpenOptions): OpenedMatrix {
  const code = formatCodeOf(bytes)
  const format = byCode.get(code)
  if (!format) throw new Error(`matrix: format ${code} is not known; expected 0 to ${byCode.size - 1}`)
  return format.open(bytes, options)
}
