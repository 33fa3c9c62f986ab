/** `coppice apply`: what it says of a result, and methods that train, which go on where they were interrupted. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Model } from '../model.ts'
import { saveModel } from '../node/files.ts'
import { count } from '../numbers.ts'
import { floatTensor, integerTensor, sizeOf } from '../tensor/dtype.ts'
import { random } from '../tensor/random.ts'
import { runCommand } from '../testing/run-command.ts'
import { lenet300 } from '../zoo/lenet.ts'
import { applyCommand } from './commands/apply.ts'
import { readFlags } from './flags.ts'
import type { Io } from './io.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-apply-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const silent: Io = { json: true, result() {}, say() {}, warn() {}, milestone() {}, progress() {}, finish() {} }

it('says where a method changed nothing, and what it is for', async () => {
  const [source, output] = [join(folder, 'plain.onnx'), join(folder, 'same.onnx')]
  await saveModel(source, lenet300({ seed: 1, width: 0.1 }))
  const said: string[] = []
  const io = { ...silent, result: (text: string) => void said.push(text) }
  await runCommand(applyCommand('remove-dead'), ['remove-dead', source], { output }, { io })
  expect(said[0]).toMatch(/^warning: remove-dead: nothing was changed, as there is nothing for it to do: it /)
  await runCommand(applyCommand('magnitude'), ['magnitude', source], { output }, { io })
  expect(said[1]).not.toMatch(/nothing was changed/)
})

it.each([
  ['int8', 'rounding', 'nearest'],
  ['uniform', 'vectors', '512'],
  ['uniform', 'samples', '64'],
  ['svd', 'batch', '8'],
])('refuses what only data is read with, where there is none: %s --%s', (method, flag, value) => {
  const { options } = applyCommand(method)
  const given = { output: 'a.onnx', [flag]: value }
  expect(() => readFlags(options, given)).toThrow(`--${flag}: nothing reads it without --data; expected --data with it`)
  expect(readFlags(options, { ...given, data: 'digits' }).data).toBe('digits')
})

it('names a flag that turns off what nothing reads as it was given', () => {
  const { options } = applyCommand('int8')
  expect(() => readFlags(options, { output: 'a.onnx', equalise: false })).toThrow('--no-equalise: nothing reads it')
})

/** A table that is looked up in, multiplied with, and reshaped to be the kernel of a convolution. */
function tiedThrice(): Model {
  const rng = random(5)
  const draw = (name: string, dims: readonly number[]) =>
    floatTensor(
      name,
      dims,
      Float32Array.from({ length: sizeOf(dims) }, () => rng.normal()),
    )
  const nodes = [
    node('Gather', ['E', 'ids'], ['x']),
    node('MatMul', ['x', 'w'], ['h']),
    node('Gemm', ['h', 'E'], ['y'], { transB: 1 }),
    node('Reshape', ['E', 'dims'], ['kernel']),
    node('Unsqueeze', ['h', 'last'], ['wide']),
    node('Conv', ['wide', 'kernel'], ['z']),
  ]
  const tensors = [
    draw('E', [200, 48]),
    draw('w', [48, 48]),
    integerTensor('dims', 'int64', [3], [200, 48, 1]),
    integerTensor('last', 'int64', [1], [2]),
  ]
  return model({
    nodes,
    initializers: new Map(tensors.map((t) => [t.name, t])),
    inputs: [valueInfo('ids', 'int64', ['N'])],
    outputs: [valueInfo('y', 'float32', ['N', 200]), valueInfo('z', 'float32', ['N', 200, 1])],
  })
}

it('stores no second copy of a table that a convolution reads, and says where the file grows, with both sizes', async () => {
  const [source, output] = [join(folder, 'tied.onnx'), join(folder, 'made.onnx')]
  await saveModel(source, tiedThrice())
  const said: string[] = []
  const io = { ...silent, result: (text: string) => void said.push(text) }
  const apply = async (id: string): Promise<number> => {
    await runCommand(applyCommand(id), [id, source], { output }, { io })
    return statSync(output).size
  }
  const before = statSync(source).size
  expect(await apply('int4')).toBeLessThan(before)
  expect(said[0]).not.toMatch(/larger/)
  expect(said[0]).toContain(
    'int4: "E" stays in float: another node than a product or lookup reads it, it is read in more than one way, or numbers in it are not finite',
  )
  // The lookup and the convolution read floats still: 8 bits for the product come beside them, and nothing else.
  const after = await apply('dynamic-int8')
  expect(after).toBeGreaterThan(before)
  expect(after).toBeLessThan(before + 48 * 200)
  expect(said[1]).toContain(
    `dynamic-int8: the result is larger than the model: ${count(after)} bytes, and ${count(before)} before`,
  )
})

it('goes on from a checkpoint, which only methods that train have', async () => {
  const source = join(folder, 'net.onnx')
  await saveModel(source, lenet300({ seed: 1, width: 0.1 }))
  const run = (output: string, more: Record<string, string> = {}, signal?: AbortSignal, io = silent) => {
    const flags = { data: 'digits:200', epochs: '3', batch: '50', threads: '1', output: join(folder, output), ...more }
    return runCommand(applyCommand('train-small'), ['train-small', source], flags, { io, signal })
  }
  await run('whole.onnx')
  const [stop, checkpoint] = [new AbortController(), join(folder, 'saved')]
  const io = { ...silent, progress: () => void (existsSync(checkpoint) && stop.abort()) }
  await expect(run('stopped.onnx', { checkpoint }, stop.signal, io)).rejects.toThrow('train: stopped on request')
  expect(existsSync(join(folder, 'stopped.onnx'))).toBe(false)
  await run('resumed.onnx', { checkpoint })
  expect(readFileSync(join(folder, 'resumed.onnx'))).toEqual(readFileSync(join(folder, 'whole.onnx')))
  expect(applyCommand('share').options).not.toHaveProperty('checkpoint')
})
