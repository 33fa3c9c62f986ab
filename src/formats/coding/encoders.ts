/** The encoders of the tensor codings, in the order of codings.ts. */
import { besideEncoder } from './beside.ts'
import { bytesEncoder } from './bytes.ts'
import { codebookEncoder } from './codebook.ts'
import type { Encoder } from './coding.ts'
import { constantEncoder } from './constant.ts'
import { copyEncoder } from './copy.ts'
import { floatsEncoder } from './floats.ts'
import { gridEncoder } from './grid.ts'
import { inlineEncoder } from './inline.ts'
import { integersEncoder } from './integers.ts'
import { rawEncoder } from './raw.ts'
import { runsEncoder } from './runs.ts'

export const encoders: readonly Encoder[] = [
  rawEncoder,
  inlineEncoder,
  constantEncoder,
  integersEncoder,
  gridEncoder,
  codebookEncoder,
  floatsEncoder,
  copyEncoder,
  bytesEncoder,
  runsEncoder,
  besideEncoder,
]
