/** A sweep over files: its rows, their keys, and going on where it was stopped. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { packModel } from '../../formats/pack.ts'
import { writeModel } from '../../onnx/write.ts'
import { planSweep } from '../../sweep/plan.ts'
import { runCell } from '../../sweep/run-cell.ts'
import { sweep } from '../../sweep/sweep.ts'
import { parseSweep } from '../../sweep/sweep-file.ts'
import { lenet300 } from '../../zoo/lenet.ts'
import { fileSources } from './file-sources.ts'
import { rowFolder } from './row-folder.ts'

const folder = mkdtempSync(join(tmpdir(), 'coppice-sweep-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string): string => join(folder, name)
const model = lenet300({ seed: 1, width: 0.02 })
writeFileSync(at('net.onnx'), writeModel(model))
writeFileSync(at('net.cop'), packModel(model))

const specOf = (more: object = {}) =>
  parseSweep(
    JSON.stringify({
      coppice: 1,
      models: [{ name: 'net', file: at('net.onnx') }],
      data: ['digits:60'],
      recipes: [{ steps: [['share', { values: '$n' }]], grid: { n: [4, 16] } }, { steps: [] }],
      latency: false,
      ...more,
    }),
    'sweep',
    () => '',
  )

describe('a sweep over files', () => {
  test('makes a row per combination, and makes none twice', async () => {
    const rows = rowFolder(at('out'))
    const made: string[] = []
    const first = await sweep(await specOf(), fileSources(), { rows, onRow: (row) => made.push(row.key) })
    expect(made).toHaveLength(3)
    expect(readdirSync(at('out/rows')).sort()).toEqual(made.map((key) => `${key}.json`).sort())
    expect(readdirSync(at('out/models'))).toHaveLength(3)
    for (const { found, error } of first) {
      expect(error).toBeUndefined()
      expect(found).toMatchObject({ measure: 'accuracy', samples: 15 })
    }
    const [small, large, same] = first.map((r) => r.found)
    expect(small?.after.packed).toBeLessThan(large?.after.packed ?? 0)
    expect(same?.after.bytes).toBe(readFileSync(at('net.onnx')).length)
    expect(same?.after.score).toBe(same?.before.score)

    rmSync(at(`out/rows/${made[1]}.json`))
    const again = await sweep(await specOf(), fileSources(), { rows, onRow: (row) => made.push(row.key) })
    expect(made.slice(3)).toEqual([made[1]])
    const facts = (all: typeof first) => all.map(({ timed: _, ...row }) => row)
    expect(facts(again)).toEqual(facts(first))
  })

  test('what goes wrong with one combination is its row, and it is tried again', async () => {
    const rows = rowFolder(at('failing'))
    const spec = await specOf({ data: ['random'], recipes: [{ steps: [['finetune', {}]] }, { steps: [] }] })
    const [failed, right] = await sweep(spec, fileSources(), { rows })
    expect(failed.error).toMatch(/^finetune: there is no data to train on/)
    expect(failed.found).toBeUndefined()
    expect(right.found?.measure).toMatch(/agreement|signal to noise/)
    const again: string[] = []
    await sweep(spec, fileSources(), { rows, onRow: (row) => again.push(row.key) })
    expect(again).toEqual([failed.key])
  })

  test('keys differ where model, data, recipe, seed or version do, and not by names and places', async () => {
    const keyOf = async (more: object, sources = fileSources()) => (await planSweep(await specOf(more), sources))[0].key
    writeFileSync(at('copy.onnx'), readFileSync(at('net.onnx')))
    writeFileSync(at('other.onnx'), writeModel(lenet300({ seed: 2, width: 0.02 })))
    const plain = await keyOf({})
    expect(await keyOf({ models: [{ name: 'another', file: at('copy.onnx') }] })).toBe(plain)
    const others = await Promise.all([
      keyOf({ models: [at('other.onnx')] }),
      keyOf({ data: ['digits:64'] }),
      keyOf({ data: [{ data: 'digits:60', range: [0, 255] }] }),
      keyOf({ recipes: [{ steps: [['share', { values: 5 }]] }] }),
      keyOf({ seeds: [1] }),
      keyOf({ data: ['random'] }),
      keyOf({}, { ...fileSources(), version: '99.0.0' }),
    ])
    expect(new Set([plain, ...others]).size).toBe(others.length + 1)
  })

  test('a worker whose model, data or version is another refuses', async () => {
    const [cell] = await planSweep(await specOf(), fileSources())
    const changed = { ...cell, model: { name: 'net', file: at('changed.onnx') } }
    writeFileSync(at('changed.onnx'), writeModel(lenet300({ seed: 3, width: 0.02 })))
    await expect(runCell(changed, fileSources())).rejects.toThrow(/changed.onnx: it is not what the sweep was planned/)
    const otherData = { ...cell, data: { name: 'd', data: 'digits:64' } }
    await expect(runCell(otherData, fileSources())).rejects.toThrow(/^digits:64: it is not what/)
    await expect(runCell(cell, { ...fileSources(), version: '99.0.0' })).rejects.toThrow(/^coppice: .*99.0.0 here/)
  })

  test('packed models are read too; a missing file is one sentence', async () => {
    const recipes = [{ steps: [] }]
    const [row] = await sweep(await specOf({ models: [at('net.cop')], recipes }), fileSources())
    expect(row.found?.after.params).toBe(row.found?.before.params)
    const missing = specOf({ models: [at('none.onnx')], recipes })
    await expect(sweep(await missing, fileSources())).rejects.toThrow(/none.onnx: there is no such file/)
  })

  test('a row that is damaged says which file to remove', async () => {
    const spec = await specOf()
    const [cell] = await planSweep(spec, fileSources())
    writeFileSync(at(`out/rows/${cell.key}.json`), '{"coppice":1}')
    await expect(sweep(spec, fileSources(), { rows: rowFolder(at('out')) })).rejects.toThrow(/remove it/)
  })
})
