/** The command line from outside, as a user meets it: the built program, its files, its output and exit codes. */
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeModel } from '../src/onnx/write.ts'
import { openSession } from '../src/runtime/session.ts'
import { modelsFolder, needsModels } from '../src/testing/real-models.ts'
import { exampleModel } from '../src/testing/test-method.ts'

const main = join(import.meta.dirname, '../dist/cli/main.js')
const digits = join(import.meta.dirname, '../models/digits-lenet5.onnx')
let folder: string

interface Run {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function coppice(...args: string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { cwd: folder, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr })
    })
  })
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'coppice-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('compress', () => {
  const args = ['compress', digits, '--data', 'digits:4000', '--no-latency']

  it('makes the model smaller, keeps its accuracy, and writes what it says', async () => {
    const { code, stdout, stderr } = await coppice(
      ...args,
      '-o',
      'a.onnx',
      '--pack',
      'a.cop',
      '--report',
      'a.html',
      '--json',
    )
    expect(stderr.split('\n').filter((l) => l && !l.startsWith('{'))).toEqual([])
    expect(code).toBe(0)
    const report = JSON.parse(stdout)
    expect(report.after.bytes).toBe(readFileSync(join(folder, 'a.onnx')).length)
    expect(report.after.packed).toBe(readFileSync(join(folder, 'a.cop')).length)
    expect(report.before.bytes / report.after.packed).toBeGreaterThan(10)
    expect(report.before.top1).toBeGreaterThan(0.95)
    expect(report.after.top1).toBeGreaterThan(report.before.top1 - 0.01)
    const weights = report.layers.filter((l: { name: string }) => l.name.endsWith('weight'))
    expect(weights.map((l: { op: string }) => l.op)).toEqual(['Conv', 'Conv', 'Gemm', 'Gemm'])
    const html = readFileSync(join(folder, 'a.html'), 'utf8')
    expect(html).toContain('digits-lenet5.onnx, compressed for size')
    expect(html).not.toMatch(/<script|https?:\/\//)
  })

  it('the same command gives the same bytes, and so does its recipe', async () => {
    await coppice(...args, '-o', 'b.onnx', '--pack', 'b.cop')
    const first = readFileSync(join(folder, 'a.onnx'))
    expect(readFileSync(join(folder, 'b.onnx')).equals(first)).toBe(true)
    expect(readFileSync(join(folder, 'b.cop')).equals(readFileSync(join(folder, 'a.cop')))).toBe(true)
    const { code } = await coppice('run', 'a.recipe.json', digits, '-o', 'c.onnx')
    expect(code).toBe(0)
    expect(readFileSync(join(folder, 'c.onnx')).equals(first)).toBe(true)
  })

  it('a recipe made without data gives the same bytes', async () => {
    writeFileSync(join(folder, 'small.onnx'), writeModel(exampleModel()))
    const made = await coppice('compress', 'small.onnx', '--no-latency', '-o', 'd.onnx', '--seed', '7')
    expect(made.code).toBe(0)
    expect(JSON.parse(readFileSync(join(folder, 'd.recipe.json'), 'utf8')).calibration.data).toBe('random')
    const { code } = await coppice('run', 'd.recipe.json', 'small.onnx', '-o', 'e.onnx')
    expect(code).toBe(0)
    expect(readFileSync(join(folder, 'e.onnx')).equals(readFileSync(join(folder, 'd.onnx')))).toBe(true)
  })

  it('apply runs one method with its options as flags, as a recipe with that step does', async () => {
    const { code } = await coppice(
      'apply',
      'magnitude',
      digits,
      '--sparsity',
      '0.7',
      '--scope',
      'global',
      '-o',
      'f.onnx',
    )
    expect(code).toBe(0)
    const steps = [['magnitude', { sparsity: 0.7, scope: 'global' }]]
    writeFileSync(join(folder, 'step.json'), JSON.stringify({ coppice: 1, seed: 0, steps }))
    expect((await coppice('run', 'step.json', digits, '-o', 'g.onnx')).code).toBe(0)
    expect(readFileSync(join(folder, 'f.onnx')).equals(readFileSync(join(folder, 'g.onnx')))).toBe(true)
  })

  it('apply gives warnings with --json too', async () => {
    const { code, stdout } = await coppice('apply', 'obs', digits, '--sparsity', '0.1', '-o', 'h.onnx', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout).warnings).toEqual([expect.stringContaining('no data was given')])
  })

  it('unpack gives the compressed model back, byte for byte', async () => {
    const { code } = await coppice('unpack', 'a.cop', '-o', 'd.onnx')
    expect(code).toBe(0)
    expect(readFileSync(join(folder, 'd.onnx')).equals(readFileSync(join(folder, 'a.onnx')))).toBe(true)
  })

  it('evaluate measures both, decoded from the packed file', async () => {
    const { code, stdout } = await coppice('evaluate', 'a.cop', '--against', digits, '--data', 'digits:2000', '--json')
    expect(code).toBe(0)
    const report = JSON.parse(stdout)
    expect(report.before.top1).toBeGreaterThan(0.95)
    expect(report.agreement.top1).toBeGreaterThan(0.97)
    expect(report.speedUp.median).toBeGreaterThan(0)
  })

  it('evaluate measures no latency where told not to', async () => {
    const { code, stdout } = await coppice('evaluate', digits, '--no-latency')
    expect(code).toBe(0)
    expect(stdout).toContain('packed')
    expect(stdout).not.toContain('per call')
  })

  it('evaluate warns of test data that has one class', async () => {
    const header = `${Array.from({ length: 784 }, (_, i) => `p${i}`).join(',')},label\n`
    const row = `${Array.from({ length: 784 }, (_, i) => i % 7).join(',')},3\n`
    writeFileSync(join(folder, 'one.csv'), header + row.repeat(40))
    const { code, stderr } = await coppice('evaluate', digits, '--data', 'csv:one.csv')
    expect(code).toBe(0)
    expect(stderr).toMatch(/every test sample of .*one\.csv.* is of class/)
  })
})

describe('bad input gets one sentence and exit code 1, and leaves nothing behind', () => {
  const cases: [string, string[], RegExp][] = [
    ['a missing file', ['inspect', 'none.onnx'], /^none\.onnx: .*no such file/],
    ['a folder', ['inspect', '.'], /folder/],
    ['an empty file', ['compress', 'empty.onnx', '-o', 'x.onnx'], /^empty\.onnx: .*empty/],
    ['random bytes', ['compress', 'noise.onnx', '-o', 'x.onnx'], /^noise\.onnx: .*onnx/],
    ['half a model', ['pack', 'half.onnx', '-o', 'x.cop'], /^half\.onnx: /],
    ['a model as a packed file', ['unpack', digits, '-o', 'x.onnx'], /coppice|packed/],
    ['a mistyped data spec', ['compress', digits, '-o', 'x.onnx', '--data', 'digit'], /did you mean "digits"/],
    [
      'data that does not fit',
      ['compress', digits, '-o', 'x.onnx', '--data', 'csv:table.csv'],
      /^csv:|^data|table\.csv/,
    ],
    ['preprocessing without data', ['compress', digits, '-o', 'x.onnx', '--mean', '0.5'], /^--mean: .*--data/],
    ['a bad number', ['compress', digits, '-o', 'x.onnx', '--max-loss', 'much'], /^--max-loss: "much"/],
    [
      'a bad range',
      ['compress', digits, '-o', 'x.onnx', '--data', 'digits', '--input-range', '0..2'],
      /^--input-range/,
    ],
    [
      'wrong preprocessing',
      ['compress', digits, '-o', 'x.onnx', '--data', 'digits:2000', '--std', '-1'],
      /chance|trained/,
    ],
    ['speed without data', ['compress', digits, '-o', 'x.onnx', '--goal', 'speed'], /--data/],
    ['writing over the input', ['compress', 'copy.onnx', '-o', 'copy.onnx'], /copy\.onnx: .*another|of its own/],
    [
      'packing over the input',
      ['pack', 'copy.onnx', '-o', './copy.onnx'],
      /^\.\/copy\.onnx: expected a name that ends in \.cop/,
    ],
    ['unpacking over the input', ['unpack', 'copy.onnx', '-o', './copy.onnx'], /^\.\/copy\.onnx: this would overwrite/],
    ['a recipe over its model', ['run', 'recipe.json', 'copy.onnx', '-o', './copy.onnx'], /this would overwrite/],
    ['a recipe over itself', ['run', 'recipe.json', 'copy.onnx', '-o', './recipe.json'], /ends in \.onnx/],
    ['no number of images', ['compress', digits, '-o', 'x.onnx', '--data', 'digits:x'], /^digits:x: "x" is no number/],
    [
      'a scan that is not there',
      ['prune', digits, '--epochs', '0', '--scan', 'no.json', '-o', 'x.onnx'],
      /^no\.json: there/,
    ],
    ['rounds of one-shot', ['prune', digits, '--epochs', '0', '--rounds', '3', '-o', 'x.onnx'], /^--rounds: "3" with/],
    [
      'nesterov of adam',
      ['finetune', digits, '--data', 'digits', '--optimizer', 'adam', '--nesterov', '-o', 'x.onnx'],
      /^--nesterov: --optimizer adam does not read it; expected --optimizer sgd with it/,
    ],
    ['results for a folder that is not there', ['compress', digits, '-o', 'none/x.onnx'], /there is no folder none/],
    ['a recipe that is none', ['run', 'table.csv', digits, '-o', 'x.onnx'], /^table\.csv: it is not JSON/],
    ['a folder that is not there', ['pack', digits, '-o', 'no/such/x.cop'], /no\/such/],
  ]
  beforeAll(() => {
    const bytes = readFileSync(digits)
    writeFileSync(join(folder, 'empty.onnx'), '')
    writeFileSync(
      join(folder, 'noise.onnx'),
      Uint8Array.from({ length: 1000 }, (_, i) => (i * 7919 + 13) % 251),
    )
    writeFileSync(join(folder, 'half.onnx'), bytes.subarray(0, bytes.length / 2))
    writeFileSync(join(folder, 'copy.onnx'), bytes)
    writeFileSync(join(folder, 'recipe.json'), '{"coppice":1,"seed":0,"steps":[]}')
    writeFileSync(join(folder, 'table.csv'), 'label,a,b\n1,2,3\n0,1,2\n')
  })

  it.each(cases)('%s', async (_, args, sentence) => {
    const { code, stdout, stderr } = await coppice(...args)
    expect(code).toBe(1)
    expect(stdout).toBe('')
    const lines = stderr
      .trim()
      .split('\n')
      .filter((l) => !/^note: |^warning: |^\d+ %/.test(l))
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(sentence)
    expect(existsSync(join(folder, 'x.onnx')) || existsSync(join(folder, 'x.cop'))).toBe(false)
    expect(readFileSync(join(folder, 'copy.onnx')).equals(readFileSync(digits))).toBe(true)
    expect(readdirSync(folder).filter((f) => f.includes('tmp'))).toEqual([])
  })

  it('a wrong flag or a missing one: exit code 1', async () => {
    expect((await coppice('inspect', digits, '--frob')).code).toBe(1)
    expect((await coppice('compress', digits)).code).toBe(1)
  })
})

describe('stopping', () => {
  it('Ctrl-C leaves no file behind', async () => {
    const child = spawn(
      process.execPath,
      [main, 'compress', digits, '--data', 'digits:8000', '-o', 'stopped.onnx', '--pack', 'stopped.cop'],
      { cwd: folder },
    )
    // It has begun its work once it says something.
    await new Promise((resolve) => child.stderr.once('data', resolve))
    await new Promise((resolve) => setTimeout(resolve, 500))
    child.kill('SIGINT')
    const code = await new Promise((resolve) => child.on('exit', resolve))
    expect(code).toBe(130)
    expect(readdirSync(folder).filter((f) => f.includes('stopped') || f.includes('tmp'))).toEqual([])
  })
})

describe.skipIf(!modelsFolder)(`models that cannot be loaded${needsModels}`, () => {
  const cases: [string, RegExp][] = [
    ['ppocrv3_det_en.onnx', /ONNX Runtime cannot load it/],
    ['supres.onnx', /ai\.onnx\.contrib/],
  ]
  it.each(cases)('%s: inspected; compress says why not in one sentence, exit code 1', async (name, sentence) => {
    const path = join(modelsFolder as string, 'not-loadable', name)
    const { stderr: odd } = await coppice('inspect', path)
    expect(odd).not.toMatch(/corrupt|damaged/)
    // Whether ONNX Runtime takes a model may depend on the processor's kernels; where it does, it can be compressed.
    const loads = await openSession(readFileSync(path)).then(
      (session) => session.release().then(() => true),
      () => false,
    )
    if (loads) return
    const { code, stderr } = await coppice('compress', path, '-o', 'y.onnx')
    expect(code).toBe(1)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(stderr).not.toMatch(/corrupt|damaged/)
    expect(stderr).toMatch(sentence)
    expect(existsSync(join(folder, 'y.onnx'))).toBe(false)
  })

  it('a model of operator set 1 is inspected, and says that it is old', async () => {
    const path = join(modelsFolder as string, 'not-loadable', 'mnist-opset1.onnx')
    const { code, stdout } = await coppice('inspect', path)
    expect(code).toBe(0)
    expect(stdout).toMatch(/operator set 1 is from before 2018/)
  })

  it('weights that were never trained are found out where there is data', async () => {
    const path = join(modelsFolder as string, 'not-loadable', 'mnist_original_untrained_13pct.onnx')
    const { code, stderr } = await coppice('compress', path, '-o', 'y.onnx', '--data', 'digits:2000')
    expect(code).toBe(1)
    expect(stderr.trim().split('\n').at(-1)).toMatch(/chance/)
  })
})
