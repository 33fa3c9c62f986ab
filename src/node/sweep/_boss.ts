/**
 * Opening pg-boss. It and PGlite are optional packages: nothing but a sweep needs them, so they are read when one begins, and
 * what of them is used is described here, so that coppice's own types need neither.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { PlannedCell } from '../../sweep/plan.ts'

/** Where the queue's database is: in a folder, embedded in this process alone, or a server's. */
export type QueuePlace = { readonly folder: string } | { readonly url: string }

export interface Job {
  readonly id: string
  readonly data: { readonly sweep: string; readonly cell: PlannedCell }
  readonly signal: AbortSignal
}

export interface Database {
  executeSql(sql: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

export interface Boss {
  start(): Promise<unknown>
  stop(options: { readonly graceful: boolean }): Promise<void>
  on(event: 'error' | 'warning', told: (error: { readonly message: string }) => void): unknown
  createQueue(name: string, options: object): Promise<void>
  insert(name: string, jobs: readonly object[]): Promise<unknown>
  work(name: string, options: object, run: (jobs: readonly Job[]) => Promise<void>): Promise<unknown>
  deleteJob(name: string, id: string): Promise<unknown>
  getDb(): Database
}

interface BossPackage {
  readonly PgBoss: new (options: object) => Boss
  fromPglite(database: Embedded): object
}

interface Embedded {
  readonly waitReady: Promise<void>
  close(): Promise<void>
}

export interface BossOptions {
  readonly superviseIntervalSeconds: number
  readonly monitorIntervalSeconds: number
  readonly onTrouble?: (sentence: string) => void
}

/** Where pg-boss has its tables. */
export const bossSchema = 'coppice_queue'

/** `close` ends the queue first and then, of an embedded one, its database. */
export async function openBoss(
  place: QueuePlace,
  { onTrouble, ...intervals }: BossOptions,
): Promise<{ readonly boss: Boss; close(): Promise<void> }> {
  if ('url' in place) checkUrl(place.url)
  checkNode(process.versions.node)
  const { PgBoss, fromPglite } = await load<BossPackage>('pg-boss')
  const embedded = 'folder' in place ? await openEmbedded(place.folder) : undefined
  const boss = new PgBoss({
    ...('url' in place ? { connectionString: place.url, connectionTimeoutMillis: 10_000, max: 5 } : {}),
    ...(embedded ? { db: fromPglite(embedded), backend: 'pglite' } : {}),
    ...intervals,
    schema: bossSchema,
    schedule: false,
    reindex: false,
    monitorVacuum: false,
    registerInstance: false,
  })
  const tell = (error: { readonly message: string }): void => onTrouble?.(`queue: ${wordsOf(error)}`)
  boss.on('error', tell)
  boss.on('warning', tell)
  const close = async (): Promise<void> => {
    await boss.stop({ graceful: false }).catch(() => undefined)
    await embedded?.close()
  }
  try {
    await boss.start()
  } catch (cause) {
    await close()
    const where = 'url' in place ? withoutPassword(place.url) : place.folder
    throw new Error(`${where}: the queue cannot be opened: ${wordsOf(cause)}`, { cause })
  }
  return { boss, close }
}

async function openEmbedded(folder: string): Promise<Embedded> {
  const { PGlite } = await load<{ PGlite: new (folder: string) => Embedded }>('@electric-sql/pglite')
  try {
    mkdirSync(dirname(folder), { recursive: true })
    const database = new PGlite(folder)
    await database.waitReady
    return database
  } catch (cause) {
    throw new Error(
      `${folder}: the queue's database cannot be opened (${wordsOf(cause)}); remove that folder and begin again: rows that are made are kept`,
      { cause },
    )
  }
}

/** The packages are found where coppice is installed. The name is no literal, so that bundlers and types pass it over. */
async function load<T>(name: string): Promise<T> {
  try {
    return (await import(name)) as T
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new Error(
      `sweep: the package ${name} is not installed; expected it after \`npm install pg-boss@12 @electric-sql/pglite@0.5\` (or --workers 0, which needs no queue)`,
      { cause },
    )
  }
}

/** pg-boss reads modules in a way that older ones do not know. */
export function checkNode(version: string): void {
  const [major, minor] = version.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19)) return
  throw new Error(
    `sweep: its queue needs Node 22.12 or newer, or 20.19 and newer of 20, and this is ${version} (--workers 0 needs no queue)`,
  )
}

function checkUrl(url: string): void {
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url))
    throw new Error(`--queue: "${withoutPassword(url)}"; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE`)
}

/** What goes into messages. */
export function withoutPassword(url: string): string {
  return url.replace(/^([^:]*:\/\/[^:@/]*):[^@]*@/, '$1@')
}

/** Errors of several addresses at once have no message of their own. */
function wordsOf(error: unknown): string {
  const { message, code, errors } = error as {
    message?: string
    code?: string
    errors?: readonly { message: string }[]
  }
  return message || errors?.[0]?.message || code || String(error)
}
