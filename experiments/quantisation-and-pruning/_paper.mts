/**
 * What Paupamah, James, Klein 2020 (Quantisation and Pruning for Neural Network Compression and Regularisation) report, and the
 * rule by which its published code prunes.
 */
import { weightTensors } from '../../src/graph/weights.ts'
import { sizeOf } from '../../src/tensor/dtype.ts'
import { trainableNames } from '../../src/train/parameters.ts'
import { zoo } from '../../src/zoo/index.ts'

export type NetName = 'mobilenetV2' | 'shufflenetV2' | 'alexnet'
export const netNames: readonly NetName[] = ['mobilenetV2', 'shufflenetV2', 'alexnet']

/** Accuracies in %; `s` is the paper's sensitivity, the share that its rule removes from each layer. */
export interface PaperRow {
  readonly reference: number
  readonly pruned: number
  readonly parameters: readonly [before: string, after: string]
  readonly s: number
  readonly int8: number
  readonly megabytes: readonly [float: number, int8: number]
  readonly milliseconds: readonly [float: number, int8: number]
}

export const paperRows: Readonly<Record<string, Readonly<Record<NetName, PaperRow>>>> = {
  'fashion-mnist': {
    mobilenetV2: row([90.75, 90.43, 90.07], ['2.2M', '1.1M'], 0.7, [8.7, 2.9], [1.7, 0.3]),
    shufflenetV2: row([90.36, 90.09, 89.78], ['1.2M', '815K'], 0.35, [4.9, 1.8], [0.73, 0.61]),
    alexnet: row([91.61, 90.34, 90.27], ['57M', '5M'], 0.9, [217.6, 54.6], [6.7, 4.9]),
  },
  cifar10: {
    mobilenetV2: row([91.31, 91.53, 90.59], ['2.2M', '671K'], 0.4, [8.7, 2.9], [34.8, 4.74]),
    shufflenetV2: row([93.36, 93.05, 81.29], ['1.2M', '879K'], 0.3, [4.9, 1.8], [11.67, 23.15]),
    alexnet: row([93.54, 90.91, 90.06], ['57M', '28M'], 0.5, [217.6, 54.6], [22.13, 5.23]),
  },
}

function row(
  [reference, pruned, int8]: readonly [number, number, number],
  parameters: PaperRow['parameters'],
  s: number,
  megabytes: PaperRow['megabytes'],
  milliseconds: PaperRow['milliseconds'],
): PaperRow {
  return { reference, pruned, int8, parameters, s, megabytes, milliseconds }
}

/** Table III, on Fashion-MNIST. */
export const paperOverfitting: Readonly<
  Record<NetName, { reference: number; overfitted: number; pruned: number; parameters: string; s: number }>
> = {
  mobilenetV2: { reference: 90.75, overfitted: 90.55, pruned: 91.26, parameters: '1.76M', s: 0.1 },
  shufflenetV2: { reference: 90.36, overfitted: 89.71, pruned: 91.01, parameters: '1M', s: 0.15 },
  alexnet: { reference: 91.61, overfitted: 91.32, pruned: 92.11, parameters: '22M', s: 0.6 },
}

/**
 * Parameters that are left by the rule of the paper's code, on its net (three input channels, ten classes): of each tensor of rank 2
 * or more ceil(s · n) go, of dense layers single weights, of convolutions whole filters. Biases are not counted: only so do
 * the counts come out as the paper has them (ShuffleNetV2 at 0.35: 815,901).
 */
export function leftByPaperRule(net: NetName, s: number): number {
  const model = zoo[net].build({ classes: 10, initialize: false })
  const dimsOf = (name: string): readonly number[] => model.graph.initializers.get(name)?.dims ?? []
  const counted = trainableNames(model.graph).filter((name) => !name.endsWith('.bias'))
  const removed = weightTensors(model).map(({ tensor: { dims } }) =>
    dims.length === 2 ? Math.ceil(s * sizeOf(dims)) : Math.ceil(s * dims[0]) * sizeOf(dims.slice(1)),
  )
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
  return sum(counted.map((name) => sizeOf(dimsOf(name)))) - sum(removed)
}
