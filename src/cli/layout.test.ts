/** Files for transformers.js: their names, and that the library's own loader runs them from a local folder. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { valueInfo } from '../graph/build.ts'
import { type Model, withGraph } from '../model.ts'
import { saveModel } from '../node/files.ts'
import { outputsOf } from '../testing/real-models.ts'
import { runCommand } from '../testing/run-command.ts'
import { transformer } from '../testing/sequence-nets.ts'
import { applyCommand } from './commands/apply.ts'
import { runCommand as recipeCommand } from './commands/run.ts'

/** The part of the library that is used; it is loaded by name, as it need not be installed. */
interface Library {
  readonly env: { allowRemoteModels: boolean; localModelPath: string }
  readonly AutoModelForSequenceClassification: {
    from_pretrained(
      name: string,
      options: { readonly dtype: string; readonly local_files_only: boolean },
    ): Promise<
      ((inputs: object) => Promise<{ readonly logits: { readonly data: Float32Array } }>) & {
        dispose(): Promise<unknown>
      }
    >
  }
  readonly Tensor: new (type: string, data: BigInt64Array, dims: readonly number[]) => object
}

const libraryName = '@huggingface/transformers'
const library = (await import(libraryName).catch(() => undefined)) as Library | undefined

/** The small transformer with the names that BERT's files have. */
function classifier(): Model {
  const { graph, ...rest } = transformer({ steps: 6, words: 40, classes: 3, width: 32 })
  const [y] = graph.outputs
  const named = (name: string): string => (name === 'x' ? 'input_ids' : name === y.name ? 'logits' : name)
  const nodes = graph.nodes.map((n) => ({ ...n, inputs: n.inputs.map(named), outputs: n.outputs.map(named) }))
  return withGraph(
    { ...rest, graph },
    {
      nodes,
      inputs: [valueInfo('input_ids', 'int64', ['N', 6])],
      outputs: [valueInfo('logits', 'float32', ['N', 3])],
    },
  )
}

const folder = mkdtempSync(join(tmpdir(), 'coppice-'))
const source = join(folder, 'float.onnx')
const out = join(folder, 'models', 'small')
const told: string[] = []
const io = {
  json: false,
  progress: () => {},
  finish: () => {},
  milestone: () => {},
  say: (text: string) => void told.push(text),
  warn: (text: string) => void told.push(text),
  result: (text: string) => void told.push(text),
}

async function apply(method: string, flags: Record<string, string>): Promise<void> {
  await runCommand(applyCommand(method), [method, source], { output: out, for: 'transformers.js', ...flags }, { io })
}

beforeAll(async () => {
  await saveModel(source, classifier())
  mkdirSync(join(folder, 'models'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const forms = [
  ['strip-notes', {}, 'model.onnx', 'fp32', 1e-6],
  ['float16', { minElements: '1' }, 'model_fp16.onnx', 'fp16', 0.01],
  ['dynamic-int8', { minElements: '1' }, 'model_quantized.onnx', 'q8', 0.1],
  ['int4', { minElements: '1', blockSize: '16' }, 'model_q4.onnx', 'q4', 0.4],
] as const

describe('--for transformers.js', () => {
  it('writes each form under the name that the library looks for', async () => {
    for (const [method, flags] of forms) await apply(method, flags)
    expect(readdirSync(join(out, 'onnx')).sort()).toEqual(forms.map(([, , file]) => file).sort())
    expect(told.at(-1)).toBe(`wrote ${join(out, 'onnx', 'model_q4.onnx')}`)
  })

  it('keeps the name of a part of a model, does not write over what it reads, and leaves nothing where it fails', async () => {
    const parts = join(folder, 'parts')
    mkdirSync(join(parts, 'onnx'), { recursive: true })
    const part = join(parts, 'onnx', 'encoder_model.onnx')
    await saveModel(part, classifier())
    const before = readFileSync(part)
    const flags = { output: parts, for: 'transformers.js' }
    await runCommand(applyCommand('float16'), ['float16', part], { ...flags, minElements: '1' }, { io })
    expect(readdirSync(join(parts, 'onnx')).sort()).toEqual(['encoder_model.onnx', 'encoder_model_fp16.onnx'])
    await expect(runCommand(applyCommand('strip-notes'), ['strip-notes', part], flags, { io })).rejects.toThrow(
      'this would overwrite an input',
    )
    expect(readFileSync(part)).toEqual(before)
    const away = join(folder, 'away')
    const missing = join(folder, 'missing.onnx')
    await expect(
      runCommand(applyCommand('float16'), ['float16', missing], { ...flags, output: away }, { io }),
    ).rejects.toThrow('there is no such file')
    expect(existsSync(away)).toBe(false)
  })

  it('takes recipes too', async () => {
    const recipe = join(folder, 'recipe.json')
    const steps = [['dynamic-int8', { minElements: 1 }]]
    writeFileSync(recipe, JSON.stringify({ coppice: 1, made: 'by hand', seed: 0, steps }))
    const other = join(folder, 'other')
    await runCommand(recipeCommand, [recipe, source], { output: other, for: 'transformers.js' }, { io })
    expect(readdirSync(join(other, 'onnx'))).toEqual(['model_quantized.onnx'])
  })

  it.skipIf(!library).each(forms)(
    `%s %o: ${library ? 'the loader of transformers.js runs it' : `skipped, as ${libraryName} is not installed`}`,
    async (method, flags, _file, dtype, tolerance) => {
      await apply(method, flags)
      const config = { model_type: 'bert', architectures: ['BertForSequenceClassification'] }
      writeFileSync(join(out, 'config.json'), JSON.stringify(config))
      const { env, AutoModelForSequenceClassification, Tensor } = library as Library
      env.allowRemoteModels = false
      env.localModelPath = `${join(folder, 'models')}/`
      const loaded = await AutoModelForSequenceClassification.from_pretrained('small', {
        dtype,
        local_files_only: true,
      })
      const data = BigInt64Array.from({ length: 12 }, (_, i) => BigInt((7 * i) % 40))
      const { logits } = await loaded({ input_ids: new Tensor('int64', data, [2, 6]) })
      const exact = (await outputsOf(classifier(), { input_ids: { dtype: 'int64', dims: [2, 6], data } })).logits
      const expected = exact.data as Float32Array
      const spread = Math.max(...expected) - Math.min(...expected)
      expected.forEach((v, i) => {
        expect(Math.abs(logits.data[i] - v) / spread).toBeLessThan(tolerance)
      })
      await loaded.dispose()
    },
  )
})
