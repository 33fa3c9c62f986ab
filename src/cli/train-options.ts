/** The options of the commands that train: `train`, `finetune`, `prune`. */
import type { OptionsOf, OptionTable } from '../options.ts'
import { learningOptions, type UsualLength } from '../train/learning.ts'
import { outputOption, threadsOption } from './command.ts'
import { dataOptions } from './data-options.ts'

export const checkpointOption = {
  checkpoint: {
    type: 'string',
    optional: true,
    value: 'file',
    help: 'save progress here each epoch; the same command resumes from it',
  },
} as const satisfies OptionTable

export const teacherOption = {
  teacher: {
    type: 'string',
    optional: true,
    value: 'model',
    help: 'also learn the answers of this model (.onnx), which takes the same inputs',
  },
} as const satisfies OptionTable

/** A table for a command, whose usual length and rate are its own. */
export function trainOptions(usual: UsualLength) {
  return {
    ...outputOption('the trained model (.onnx)', '.onnx'),
    ...dataOptions,
    ...learningOptions(usual),
    ...checkpointOption,
    task: {
      type: 'string',
      optional: true,
      value: 'task',
      help: 'what is learnt: classes, binary, labels, numbers, tokens or mask, or OUTPUT=KIND (default: inferred from the data and the model)',
    },
    history: {
      type: 'string',
      optional: true,
      value: 'file',
      writes: '.json',
      help: 'also write loss and accuracy of each epoch (.json)',
    },
    ...threadsOption,
  } as const satisfies OptionTable
}

export const trainReportOption = {
  report: {
    type: 'string',
    optional: true,
    value: 'file',
    writes: '.html',
    help: 'also draw loss and accuracy (.html)',
  },
} as const satisfies OptionTable

export type TrainFlags = OptionsOf<ReturnType<typeof trainOptions>>

/** What only some of the commands set. */
export interface TrainChoices {
  /** The page with curves. */
  readonly report?: string
  readonly keep?: 'values' | 'zeros' | 'none'
  readonly sharedStep?: 'mean' | 'sum'
  /** BatchNormalization keeps its statistics. */
  readonly freezeStatistics?: boolean
}
