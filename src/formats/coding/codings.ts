/** The tensor codings; a file names one by its place here, so the order is part of the format. */
import { beside } from './beside.ts'
import { bytes } from './bytes.ts'
import { codebook } from './codebook.ts'
import type { Coding } from './coding.ts'
import { constant } from './constant.ts'
import { copy } from './copy.ts'
import { floats } from './floats.ts'
import { grid } from './grid.ts'
import { inline } from './inline.ts'
import { integers } from './integers.ts'
import { raw } from './raw.ts'
import { runs } from './runs.ts'

export const codings: readonly Coding[] = [
  raw,
  inline,
  constant,
  integers,
  grid,
  codebook,
  floats,
  copy,
  bytes,
  runs,
  beside,
]
