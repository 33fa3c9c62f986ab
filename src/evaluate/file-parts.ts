/** What the bytes of an .onnx file are, beside weights and other constants. */
import type { Model } from '../model.ts'
import { writtenBytes } from '../onnx/write.ts'
import { withoutTexts } from '../simplify/strip-notes.ts'

/** Bytes; the rest of the file are constants. */
export interface FileParts {
  /** Metadata and documentation, of the model and of everything in it. */
  readonly metadata: number
  /** Nodes, names, shapes. */
  readonly graph: number
}

/** `constants`: the bytes of the model's constants (`totals.bytes` of `inspectModel`). */
export function filePartsOf(model: Model, constants: number): FileParts {
  const bare = writtenBytes(withoutTexts(model))
  return { metadata: writtenBytes(model) - bare, graph: bare - constants }
}

/**
 * The parts in words, which sum to the bytes of the file; metadata only where there is any. Constants take what the file stores
 * them in: small whole numbers, one by one, take less than their type.
 */
export function partsInWords(bytes: number, { metadata, graph }: FileParts): [name: string, bytes: number][] {
  return [
    ['constants, as stored', bytes - metadata - graph],
    ...(metadata > 0 ? [['metadata', metadata] satisfies [string, number]] : []),
    ['nodes, names', graph],
  ]
}

/** A file's bytes and what they are. */
export interface FileWithParts {
  readonly bytes: number
  readonly parts?: FileParts
}

/** The parts of two files in words, side by side; what only one of them has is 0 of the other. Empty where one is not known. */
export function partsBeside(
  ...files: readonly [before: FileWithParts, after: FileWithParts]
): [name: string, before: number, after: number][] {
  const [from, to] = files.map(({ bytes, parts }) => new Map(parts && partsInWords(bytes, parts)))
  if (from.size === 0 || to.size === 0) return []
  return [...new Map([...from, ...to]).keys()].map((name) => [name, from.get(name) ?? 0, to.get(name) ?? 0])
}
