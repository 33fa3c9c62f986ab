/** `coppice sweep` and `coppice worker` from outside: files, output, exit codes, and the sentence where something is wrong. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { unpackModel } from '../src/formats/unpack.ts'
import { writeModel } from '../src/onnx/write.ts'
import { lenet300 } from '../src/zoo/lenet.ts'

const main = join(import.meta.dirname, '../dist/cli/main.js')
const folder = mkdtempSync(join(tmpdir(), 'coppice-sweep-cli-'))
const at = (name: string): string => join(folder, name)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function coppice(
  ...args: string[]
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { cwd: folder }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr })
    })
  })
}

const share = { name: 'share', steps: [['share', { values: '$n' }]], grid: { n: [4, 16] } }
const write = (name: string, more: object): void =>
  writeFileSync(
    at(name),
    JSON.stringify({
      coppice: 1,
      models: ['net.onnx'],
      data: ['digits:60'],
      recipes: [share],
      latency: false,
      ...more,
    }),
  )

beforeAll(() => {
  writeFileSync(at('net.onnx'), writeModel(lenet300({ seed: 1, width: 0.02 })))
  write('s.json', {})
})

describe('sweep', () => {
  it('makes rows, models and a report, and goes on where it was', async () => {
    const first = await coppice('sweep', 's.json', '-o', 'out', '--workers', '0')
    expect(first).toMatchObject({ code: 0 })
    expect(first.stderr).toMatch(/^2 rows in out\n/)
    expect(first.stderr.match(/share n=\d+ on net, digits:60, seed 0: /g)).toHaveLength(2)
    expect(first.stdout).toContain('wrote out/report.html')
    const keys = readdirSync(at('out/rows')).map((name) => name.replace('.json', ''))
    for (const key of keys) {
      const row = JSON.parse(readFileSync(at(`out/rows/${key}.json`), 'utf8'))
      const packed = readFileSync(at(`out/models/${key}.cop`))
      expect(row).toMatchObject({ key, found: { after: { packed: packed.length } } })
      // The recipe of a row makes its model again.
      writeFileSync(at('row.recipe.json'), JSON.stringify(row.recipe))
      expect(await coppice('run', 'row.recipe.json', 'net.onnx', '-o', 'again.onnx')).toMatchObject({ code: 0 })
      expect(Buffer.compare(writeModel(unpackModel(packed)), readFileSync(at('again.onnx')))).toBe(0)
    }
    const html = readFileSync(at('out/report.html'), 'utf8')
    expect(html).toContain('s.json: 2 recipes, 1 model, 1 data set')
    expect(html).not.toMatch(/<script|https?:\/\//)

    write('more.json', { recipes: [{ ...share, grid: { n: [4, 16, 32] } }] })
    const more = await coppice('sweep', 'more.json', '-o', 'out', '--workers', '0', '--json')
    const events = more.stderr.split('\n').flatMap((line) => (line.includes('"row"') ? [JSON.parse(line)] : []))
    expect(events.map(({ name }) => name)).toEqual(['share n=32'])
    expect(JSON.parse(more.stdout).rows.map(({ name }: { name: string }) => name)).toEqual([
      ...['share n=4', 'share n=16', 'share n=32'],
    ])
    expect(readdirSync(at('out')).sort()).toEqual(['models', 'report.html', 'rows'])
  })

  it('a row without a result gives exit code 2, and is in the report', async () => {
    write('failing.json', { data: ['random'], recipes: [{ steps: [['finetune', {}]] }] })
    const { code, stdout } = await coppice('sweep', 'failing.json', '-o', 'failing', '--workers', '0')
    expect(code).toBe(2)
    expect(stdout).toMatch(/1 without a result.*\n {2}finetune on net, random, seed 0: finetune: there is no data/)
    expect(readFileSync(at('failing/report.html'), 'utf8')).toContain('finetune: there is no data')
  })
})

describe('what is wrong is one sentence and exit code 1', () => {
  beforeAll(() => {
    writeFileSync(at('broken.json'), '{')
    write('missing.json', { models: ['none.onnx'] })
    write('misfit.json', { data: ['npz:none.npz'] })
    write('method.json', { recipes: [{ steps: [['shar', {}]] }] })
    writeFileSync(at('file'), '')
  })
  const nowhere = 'postgres://me:secret@127.0.0.1:1/db'
  it.each<[string, string[], RegExp]>([
    ['no sweep', ['sweep', 'no.json', '-o', 'o'], /^no\.json: there is no such file\n$/],
    ['no JSON', ['sweep', 'broken.json', '-o', 'o'], /^broken\.json: it is not JSON; expected a sweep\n$/],
    ['a missing model', ['sweep', 'missing.json', '-o', 'o'], /none\.onnx: there is no such file\n$/],
    ['missing data', ['sweep', 'misfit.json', '-o', 'o'], /none\.npz: there is no such file\n$/],
    ['an unknown method', ['sweep', 'method.json', '-o', 'o'], /"shar".*did you mean "share"/],
    ['a file as folder', ['sweep', 's.json', '-o', 'file'], /file: .*\n$/],
    [
      'no server',
      ['sweep', 's.json', '-o', 'o', '--queue', nowhere],
      /me@127\.0\.0\.1:1\/db: the queue cannot be opened/,
    ],
    ['no address', ['sweep', 's.json', '-o', 'o', '--queue', 'here'], /--queue: "here"; expected postgres:\/\//],
    ['a worker without a server', ['worker', '--queue', nowhere], /me@127\.0\.0\.1:1\/db: the queue cannot be opened/],
    ['a worker without an address', ['worker'], /--queue/],
  ])('%s', async (_, args, sentence) => {
    const { code, stdout, stderr } = await coppice(...args)
    expect(stderr).toMatch(sentence)
    expect(stderr).not.toMatch(/ {4}at |secret/)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(existsSync(at('o/report.html'))).toBe(false)
  })

  it('a folder in which another process works', async () => {
    await coppice('sweep', 's.json', '-o', 'held', '--workers', '0')
    writeFileSync(at('held/lock'), JSON.stringify({ pid: process.pid, host: hostname() }))
    for (const workers of ['0', '1']) {
      const { code, stderr } = await coppice('sweep', 's.json', '-o', 'held', '--workers', workers)
      expect(stderr).toContain(`held: process ${process.pid} on ${hostname()} works in it; expected another folder`)
      expect(code).toBe(1)
    }
  })
})
