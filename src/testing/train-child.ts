/** Trains a small network under a regime with a checkpoint at every step and writes it: run by a test that kills it. Usage: CHECKPOINT OUTPUT ENGINE */
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { drawDigits } from '../data/digits.ts'
import { checkpointFile } from '../node/checkpoint-file.ts'
import { saveModel } from '../node/files.ts'
import { chooseEngine } from '../train/choose-engine.ts'
import { softMask } from '../train/regimes/soft-mask.ts'
import { train } from '../train/train.ts'
import { gates } from './gates-regime.ts'
import { lenet5, mobileNet } from './small-nets.ts'

const [checkpoint, output, wanted] = process.argv.slice(2)
const { engine } = await chooseEngine(wanted as 'auto')
const net = mobileNet(1, { dropout: true })
const data = drawDigits(320, 3)
const result = await train(net, data, {
  batcher: batcherFor(requiredInputs(net), data, { range: [0, 1], layout: 'NCHW' }),
  epochs: 4,
  batchSize: 32,
  learningRate: 0.05,
  threads: 2,
  engine,
  // Gates, noise, state of all kinds, a teacher, and another that comes in on the way: all of it must go on.
  frozenStatistics: 2,
  regimes: [
    gates({ weight: 'fc.w', teacher: lenet5(9) }),
    softMask({ names: ['stem'], sparsity: 0.5, stepsPerEpoch: 10, epochs: 2, alpha: 1 }),
  ],
  checkpoint: { store: checkpointFile(checkpoint), everySteps: 1 },
})
await saveModel(output, result.model)
