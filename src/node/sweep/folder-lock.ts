/** A folder for one process at a time: a file in it holds the process's id while it works there. */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileError } from '../files.ts'

interface Holder {
  readonly pid: number
  readonly host: string
  /** When the process began, where the system tells: another process may get the same id later. */
  readonly began?: string
}

/** Those of this process. */
const held = new Set<string>()

/**
 * Takes the folder, and gives what gives it back. Throws one sentence where another process works in it. The lock of a
 * process that was killed is taken over.
 */
export function lockFolder(folder: string): () => void {
  const path = join(folder, 'lock')
  const own = `${path}-${process.pid}`
  const began = beganOf(process.pid)
  const holder: Holder = { pid: process.pid, host: hostname(), ...(began ? { began } : {}) }
  try {
    writeFileSync(own, JSON.stringify(holder))
    while (!linked(own, path)) removeDead(folder, path, own)
  } catch (cause) {
    throw (cause as NodeJS.ErrnoException).code ? fileError(path, cause, 'write') : cause
  } finally {
    rmSync(own, { force: true })
  }
  held.add(path)
  const free = (): void => {
    if (!held.delete(path)) return
    process.off('exit', free)
    rmSync(path, { force: true })
  }
  process.on('exit', free)
  return free
}

/** Whole or not at all, and false where there is one. */
function linked(from: string, path: string): boolean {
  try {
    linkSync(from, path)
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw cause
  }
}

/** Removes the lock of a process that is no more. Throws where its process lives. */
function removeDead(folder: string, path: string, own: string): void {
  const refuse = ({ pid, host }: Holder): never => {
    throw new Error(
      `${folder}: process ${pid} on ${host} works in it; expected another folder, or that process to end (if it is gone, remove ${path})`,
    )
  }
  const found = holderOf(path)
  if (found && (held.has(path) || isAlive(found))) refuse(found)
  // Another process may take it over at the same time: what was moved is looked at again, and put back where it lives.
  const moved = `${own}-moved`
  try {
    renameSync(path, moved)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return
    throw cause
  }
  const taken = holderOf(moved)
  const lives = taken && isAlive(taken)
  if (lives) linked(moved, path)
  rmSync(moved, { force: true })
  if (lives) refuse(taken)
}

/** Undefined where the file is gone, or was cut off by a crash. */
function holderOf(path: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(path, 'utf8'))
    return Number.isInteger(holder?.pid) && typeof holder.host === 'string' ? holder : undefined
  } catch {
    return undefined
  }
}

function isAlive({ pid, host, began }: Holder): boolean {
  // Of another machine nobody can tell.
  if (host !== hostname()) return true
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    // A process of another user is there, and may not be signalled.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  const now = beganOf(pid)
  return began === undefined || now === undefined || began === now
}

/** Where Linux tells, in ticks since it began: the 22nd field, of which the second may hold spaces, in brackets. */
function beganOf(pid: number): string | undefined {
  try {
    const [, rest] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(/\) (?!.*\) )/s)
    return rest.split(' ')[19]
  } catch {
    return undefined
  }
}
