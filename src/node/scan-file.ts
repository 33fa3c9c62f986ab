/** The file of a scan: its curves, and the model and data that they were measured on. */
import type { ScanCurve, ScanPoint, ScanResult } from '../search/scan.ts'
import { readFileBytes } from './files.ts'

/** What a scan's file holds: the result, and of what it is. */
export interface ScanFile extends ScanResult {
  readonly format: 'coppice scan 1'
  readonly model: string
  /** CRC-32 of the model's bytes. */
  readonly crc: number
  /** What was zeroed: single elements or whole filters. */
  readonly unit: 'element' | 'filter'
  /** Whether all curves were followed to their end. */
  readonly complete: boolean
  /** Everything that a curve depends on. */
  readonly of: string
}

/** Reads a scan's file. Throws one sentence where it is none. */
export function readScan(path: string): ScanFile {
  const text = new TextDecoder().decode(readFileBytes(path))
  let value: Partial<ScanFile> | null
  try {
    value = JSON.parse(text) as typeof value
  } catch (cause) {
    throw new Error(`${path}: it is not JSON; expected the file of a scan`, { cause })
  }
  if (value?.format !== 'coppice scan 1')
    throw new Error(`${path}: it is not a scan of this version; expected format "coppice scan 1"`)
  const wrong = Array.isArray(value.curves) ? value.curves.findIndex((c) => !isCurve(c)) : 0
  if (wrong >= 0)
    throw new Error(`${path}: curve ${wrong} is damaged; expected a name, points and a share within [0, 1]`)
  return value as ScanFile
}

function isCurve(value: Partial<ScanCurve> | null): boolean {
  const isShare = (v: unknown): boolean => typeof v === 'number' && v >= 0 && v <= 1
  // A loss that is no number is null in JSON.
  const isLoss = (v: unknown): boolean => typeof v === 'number' || v === null
  const isPoint = (p: Partial<ScanPoint> | null): boolean =>
    isShare(p?.sparsity) && isShare(p?.accuracy) && isLoss(p?.loss)
  return (
    typeof value?.name === 'string' &&
    isShare(value.recommended) &&
    Array.isArray(value.points) &&
    value.points.every(isPoint)
  )
}
