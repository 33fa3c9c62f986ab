/** `coppice scan --of int8`: which layer on integers adds how much noise to the outputs, and which part of it. */
import { writeFileAtomic } from '../../node/files.ts'
import { checkOptions } from '../../options.ts'
import { calibrateInt8, int8, integerNode, prepareInt8 } from '../../quantize/int8.ts'
import { type LayerCauses, layerCauses } from '../../quantize/int8-layers.ts'
import { alignColumns, count } from '../../report/format.ts'
import { answeredHandle } from '../../task/unanswered.ts'
import type { Invocation } from '../command.ts'
import { bindData, shapedModel } from '../data-options.ts'
import { openToWork } from '../inputs.ts'
import type { ScanFlags } from './scan.ts'

export async function scanInt8(path: string, flags: ScanFlags, { io, signal }: Invocation): Promise<void> {
  const output = flags.output ?? `${path.replace(/\.onnx$/, '')}.int8.json`
  const model = shapedModel(openToWork(path, { outputs: [output] }), flags)
  const integers = integerNode(model)
  if (integers) throw new Error(`scan: ${integers.op} computes on integers already; expected a float model`)
  const bound = await bindData(model, flags, io, signal)
  if (!bound) throw new Error('scan: there is no data; expected --data SPEC')
  const settings = checkOptions(int8.id, int8.options)
  const usual = { samples: flags.samples, batchSize: 64 }
  const data = await answeredHandle(model, bound, { seed: flags.seed, usual, signal, warn: io.warn })
  const context = { data, signal, seed: flags.seed, progress: io.progress }
  const prepared = await prepareInt8(model, settings, context)
  const calibrated = await calibrateInt8(prepared, settings, context)
  const layers = await layerCauses(prepared, calibrated, { ...context, settings })
  await writeFileAtomic(output, new TextEncoder().encode(`${JSON.stringify({ layers }, null, 2)}\n`))
  io.finish()
  const note =
    'dB of signal to noise in the outputs, with one layer on integers, or its weights, input or result alone.'
  const text = layers.length > 0 ? [...alignColumns(rowsOf(layers)), note] : ['no layer can compute on integers']
  io.result([...text, `wrote ${output}`].join('\n'), { layers, files: [output] })
}

function rowsOf(layers: readonly LayerCauses[]): string[][] {
  const db = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(1))
  const number = (value: number): string => Number(value.toPrecision(3)).toString()
  return [
    ['layer', 'op', 'MACs', 'dB', 'weights', 'input', 'result', 'because of'],
    ...layers.map((l) => [
      l.node,
      l.op,
      count(l.macs),
      db(l.snrDb),
      db(l.weightsDb),
      db(l.inputDb),
      db(l.resultDb),
      whyOf(l, number),
    ]),
  ]
}

function whyOf({ mainly, range, weightSpread }: LayerCauses, number: (value: number) => string): string {
  if (mainly === 'weights') return `its weights, whose channels differ by ${number(weightSpread)} in size`
  if (mainly === 'input') return `its input, rounded over ${number(range.min)} to ${number(range.max)}`
  return 'its result, rounded'
}
