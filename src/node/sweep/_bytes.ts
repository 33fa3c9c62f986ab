/**
 * What lies beside the jobs of a queue: checkpoints, and what came out. Of a server's queue in its database, which all machines
 * reach; of an embedded one in files, since only this process reads them, and large values would keep it from anything else.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { readFileBytes, writeFileAtomic } from '../files.ts'
import type { Database } from './_boss.ts'

export type Kind = 'checkpoint' | 'model' | 'row'

export interface JobBytes {
  load(id: string, kind: Kind): Promise<Uint8Array | undefined>
  /** Replaces what was there whole or not at all. */
  save(id: string, kind: Kind, bytes: Uint8Array): Promise<void>
  /** All of a job but for what `keep` names. */
  remove(id: string, keep: readonly Kind[]): Promise<void>
}

export function bytesInFolder(folder: string): JobBytes {
  const file = (id: string, kind: Kind): string => join(folder, `${id}.${kind}`)
  return {
    load: async (id, kind) => (existsSync(file(id, kind)) ? readFileBytes(file(id, kind)) : undefined),
    save(id, kind, bytes) {
      mkdirSync(folder, { recursive: true })
      return writeFileAtomic(file(id, kind), bytes)
    },
    async remove(id, keep) {
      if (!existsSync(folder)) return
      for (const name of readdirSync(folder)) {
        const [of, kind] = name.split('.')
        if (of === id && !keep.some((k) => k === kind)) rmSync(join(folder, name))
      }
    },
  }
}

const schema = 'coppice_sweep'
/** Bytes of a part: a database takes far more in a row, but holds it in memory several times. */
const partBytes = 2 ** 24

export async function bytesInTables(database: Database): Promise<JobBytes> {
  await database.executeSql(tables)
  const rows = async (sql: string, values: unknown[]): Promise<Record<string, unknown>[]> =>
    (await database.executeSql(sql, values)).rows
  const load = async (id: string, kind: Kind): Promise<Uint8Array | undefined> => {
    // Of the last version that is whole.
    const [last] = await rows(
      `SELECT version::text, count(*)::int AS parts FROM ${schema}.bytes WHERE job = $1 AND kind = $2
       GROUP BY version HAVING count(*) = max(parts) ORDER BY version DESC LIMIT 1`,
      [id, kind],
    )
    if (!last) return undefined
    const parts: Uint8Array[] = []
    for (let part = 0; part < Number(last.parts); part++) {
      const [row] = await rows(
        `SELECT bytes FROM ${schema}.bytes WHERE job = $1 AND kind = $2 AND version = $3 AND part = $4`,
        [id, kind, last.version, part],
      )
      // Another attempt may have saved a newer one meanwhile.
      if (!row) return load(id, kind)
      parts.push(row.bytes as Uint8Array)
    }
    return Uint8Array.from(Buffer.concat(parts))
  }
  return {
    load,
    async save(id, kind, bytes) {
      const [{ version }] = await rows(`SELECT nextval('${schema}.version')::text AS version`, [])
      const parts = Math.max(1, Math.ceil(bytes.length / partBytes))
      for (let part = 0; part < parts; part++) {
        const some = bytes.subarray(part * partBytes, (part + 1) * partBytes)
        await rows(
          `INSERT INTO ${schema}.bytes (job, kind, version, part, parts, bytes) VALUES ($1, $2, $3, $4, $5, $6)`,
          [id, kind, version, part, parts, some],
        )
      }
      await rows(`DELETE FROM ${schema}.bytes WHERE job = $1 AND kind = $2 AND version < $3`, [id, kind, version])
    },
    async remove(id, keep) {
      await rows(`DELETE FROM ${schema}.bytes WHERE job = $1 AND NOT kind = ANY($2::text[])`, [id, [...keep]])
    },
  }
}

/** Under a lock, since many workers may begin at once. Statements without values may be several. */
const tables = `
BEGIN;
SELECT pg_advisory_xact_lock(7305119022);
CREATE SCHEMA IF NOT EXISTS ${schema};
CREATE SEQUENCE IF NOT EXISTS ${schema}.version;
CREATE TABLE IF NOT EXISTS ${schema}.bytes (
  job uuid NOT NULL,
  kind text NOT NULL,
  version bigint NOT NULL,
  part int NOT NULL,
  parts int NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (job, kind, version, part)
);
COMMIT;
`
