/** Trains a small network with a checkpoint at every step and writes it: run by a test that kills it. */
import { batcherFor, requiredInputs } from '../data/batcher.ts'
import { drawDigits } from '../data/digits.ts'
import { plainEngine } from '../grad/engine.ts'
import { checkpointFile } from '../node/checkpoint-file.ts'
import { saveModel } from '../node/files.ts'
import { train } from '../train/train.ts'
import { mobileNet } from './small-nets.ts'

const [checkpoint, output] = process.argv.slice(2)
const net = mobileNet(1, { dropout: true })
const data = drawDigits(320, 3)
const result = await train(net, data, {
  batcher: batcherFor(requiredInputs(net), data, { range: [0, 1], layout: 'NCHW' }),
  epochs: 4,
  batchSize: 32,
  learningRate: 0.05,
  threads: 1,
  engine: plainEngine,
  checkpoint: { store: checkpointFile(checkpoint), everySteps: 1 },
})
await saveModel(output, result.model)
