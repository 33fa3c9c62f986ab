/** One process at a time in a folder. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { lockFolder } from './folder-lock.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-lock-'))
const lock = join(folder, 'lock')
const children: ChildProcess[] = []
afterAll(() => {
  for (const child of children) child.kill()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => rmSync(lock, { force: true }))

const write = (holder: object): void => writeFileSync(lock, JSON.stringify({ host: hostname(), ...holder }))

function living(): ChildProcess {
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'])
  children.push(child)
  return child
}

test('it is taken once, and can be taken again when it was given back', () => {
  const free = lockFolder(folder)
  expect(JSON.parse(readFileSync(lock, 'utf8')).pid).toBe(process.pid)
  expect(() => lockFolder(folder)).toThrow(`process ${process.pid} on ${hostname()} works in it`)
  free()
  expect(existsSync(lock)).toBe(false)
  lockFolder(folder)()
  expect(readdirSync(folder)).toEqual([])
})

test('a process that lives keeps it, one that was killed does not', async () => {
  const child = living()
  write({ pid: child.pid })
  expect(() => lockFolder(folder)).toThrow(/process \d+ on .* works in it/)
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  lockFolder(folder)()
})

test.runIf(process.platform === 'linux')('another process that has the same id by now does not keep it', () => {
  write({ pid: living().pid, began: '1' })
  lockFolder(folder)()
})

test('that of another machine is kept, one that was cut off is not', () => {
  write({ pid: 1, host: 'elsewhere' })
  expect(() => lockFolder(folder)).toThrow('process 1 on elsewhere works in it')
  writeFileSync(lock, '{"pid":')
  lockFolder(folder)()
})
