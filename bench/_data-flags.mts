/** The data of each case as the command line takes it, from the folders that the environment names. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeNpz } from '../src/data/npy.ts'
import { keywords } from './_cases.mts'

/** The flags `--data` and preprocessing; what must be converted is written into `folder`. */
export async function dataFlags(id: string, folder: string): Promise<string[]> {
  const { COPPICE_DATA = '', COPPICE_CIFAR10 = '' } = process.env
  if (id === 'mnist-8') return ['--data', `mnist:${join(COPPICE_DATA, 'mnist')}`, '--input-range', '0..255']
  if (id === 'mlperf-tiny-kws-dscnn') {
    const file = join(folder, 'kws.npz')
    const { fields, labels, length } = keywords()
    const [{ shape, data }] = Object.values(fields)
    writeFileSync(
      file,
      await writeNpz({ input: { shape: [length, ...shape], data }, labels: { shape: [length], data: labels! } }),
    )
    return ['--data', `npz:${file}`]
  }
  const cifar = ['--data', `cifar10:${COPPICE_CIFAR10}`]
  return id === 'mlperf-tiny-ic-resnet8'
    ? [...cifar, '--input-range', '0..255']
    : [...cifar, '--mean', '.485,.456,.406', '--std', '.229,.224,.225']
}
