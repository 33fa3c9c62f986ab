/** `coppice apply` with a method that trains: interrupted and given again, it ends with the same file. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { saveModel } from '../node/files.ts'
import { runCommand } from '../testing/run-command.ts'
import { lenet300 } from '../zoo/lenet.ts'
import { applyCommand } from './commands/apply.ts'
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
