/**
 * A Postgres of a test's own, from the programs that the system has. Where there are none it is said why, and with
 * COPPICE_POSTGRES=install they are installed first (Debian, as root).
 */
import { execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Postgres {
  /** Of an empty database, for a user who may do everything. */
  readonly url: string
  close(): Promise<void>
}

const debian = '/usr/lib/postgresql'

/** The folder of `initdb` and `postgres`; undefined where there is none. */
export function postgresPrograms(): string | undefined {
  const found = installedPrograms()
  if (found || process.env.COPPICE_POSTGRES !== 'install' || process.getuid?.() !== 0) return found
  for (const args of [['update'], ['install', '-y', 'postgresql']])
    execFileSync('apt-get', ['-q', ...args], { stdio: 'ignore' })
  return installedPrograms()
}

function installedPrograms(): string | undefined {
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [...versions.map((version) => join(debian, version, 'bin')), ...(process.env.PATH ?? '').split(':')]
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')))
}

/** Starts one in a temporary folder, on a port that is free. It refuses to run as root, and is then run as nobody. */
export async function startPostgres(programs: string): Promise<Postgres> {
  const folder = mkdtempSync(join(tmpdir(), 'coppice-postgres-'))
  const user = process.getuid?.() === 0 ? nobody() : undefined
  if (user) chownSync(folder, user.uid, user.gid)
  const data = join(folder, 'data')
  execFileSync(join(programs, 'initdb'), ['-D', data, '-U', 'coppice', '-A', 'trust', '--no-sync', '-E', 'UTF8'], {
    ...{ ...user, cwd: folder, stdio: 'ignore' },
  })
  const port = await freePort()
  const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'fsync=off']
  const server = spawn(
    join(programs, 'postgres'),
    ['-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])],
    { ...user, cwd: folder, stdio: 'ignore' },
  )
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()))
  for (let attempt = 0; !(await answers(port)); attempt++) {
    if (attempt > 200 || server.exitCode !== null) throw new Error('postgres: it does not start')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return {
    url: `postgres://coppice@127.0.0.1:${port}/postgres`,
    async close() {
      // At once, without waiting for clients.
      server.kill('SIGQUIT')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function nobody(): { readonly uid: number; readonly gid: number } {
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
