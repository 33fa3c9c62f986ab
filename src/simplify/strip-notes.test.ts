/** Notes of exporters in the forms that their files have, and metadata that somebody reads. */
import { expect, test } from 'vitest'
import type { Model, StringEntry } from '../model.ts'
import { parseModel } from '../onnx/parse-text.ts'
import { writeModel } from '../onnx/write.ts'
import { stripNotes, withoutNotes } from './strip-notes.ts'

const plain = parseModel(`ir 10
opset 18
opset "f" 1
graph g {
  in x: float32[2, 3]
  out y: float32[2, 3]
  w: float32[3] = {1, 2, 3}
  a = Add(x, w)
  b: bool[] = {1}
  c = If(b) {then_branch: graph t {
    out p: float32
    p = Neg(a)
  }, else_branch: graph e {
    out q: float32
    q = Relu(a)
  }}
  y = f::twice(c)
}
function f::twice(v) -> (u) {
  opset 18
  u = Add(v, v)
}
`)

const trace = 'File "/home/someone/net.py", line 20, in forward\n    x = self.layer(x)\n'
const notes: StringEntry[] = [
  { key: 'namespace', value: ': Net/layer: torch.nn.Linear' },
  { key: 'pkg.torch.onnx.class_hierarchy', value: "['Net', 'torch.nn.Linear']" },
  { key: 'pkg.torch.onnx.stack_trace', value: trace },
]
const kept: StringEntry[] = [{ key: 'names', value: "{0: 'cat', 1: 'dog'}" }]

/** Every part that may carry notes, with `metadata` and `docString`. */
function noted(model: Model, metadata: readonly StringEntry[], docString: string | undefined): Model {
  const extra = { metadata, docString }
  const nested = model.graph.nodes.map((n) => {
    const attributes = Object.fromEntries(
      Object.entries(n.attributes).map(([name, a]) => [
        name,
        a.type === 'graph'
          ? { ...a, value: { ...a.value, ...extra, nodes: a.value.nodes.map((m) => ({ ...m, ...extra })) } }
          : a,
      ]),
    )
    return { ...n, attributes, ...extra }
  })
  return {
    ...model,
    ...extra,
    graph: {
      ...model.graph,
      ...extra,
      nodes: nested,
      initializers: new Map([...model.graph.initializers].map(([name, t]) => [name, { ...t, ...extra }])),
      inputs: model.graph.inputs.map((i) => ({ ...i, ...extra })),
      outputs: model.graph.outputs.map((o) => ({ ...o, ...extra })),
      valueInfo: [{ name: 'a', ...extra }],
    },
    functions: model.functions?.map((fn) => ({ ...fn, ...extra, nodes: fn.nodes.map((n) => ({ ...n, ...extra })) })),
  }
}

test('notes go from everywhere, and nothing else does', async () => {
  const stripped = await stripNotes(noted(plain, [...kept, ...notes], 'A layer.'))
  expect(stripped).toEqual(noted(plain, kept, 'A layer.'))
  const docless = await stripNotes(noted(plain, [...kept, ...notes], trace))
  expect(docless).toEqual(noted(plain, kept, undefined))
  expect(Buffer.from(writeModel(docless)).toString('latin1')).not.toMatch(/someone|torch|stack/)
})

test('how many bytes went is what the file became smaller by, but for the framing', () => {
  const full = noted(plain, notes, trace)
  const { model, bytes } = withoutNotes(full)
  const saved = writeModel(full).length - writeModel(model).length
  expect(bytes).toBeLessThanOrEqual(saved)
  expect(bytes / saved).toBeGreaterThan(0.85)
})

test.each([
  ['/home/me/train.py(61): forward\n/usr/lib/python3/site-packages/torch/nn/modules/module.py(1102): _call_impl', true],
  ['converted from /home/me/models/saved_model', true],
  ['converted from C:\\Users\\me\\model.pb', true],
  ['namespace=x\npkg.torch.onnx.fx_node=%relu', true],
  ['A MobileNet for birds, CC BY 4.0. See https://example.org/home/birds', false],
  ['Ratio of a/b', false],
])('the text %j is a note: %s', (docString, isNote) => {
  const { model } = withoutNotes({ ...plain, docString })
  expect(model.docString).toBe(isNote ? undefined : docString)
})

test('a model without notes is returned as it is; graphs of training go', async () => {
  expect(await stripNotes(plain)).toBe(plain)
  const trained = { ...plain, training: [{ algorithm: plain.graph }] }
  expect(await stripNotes(trained)).toEqual(plain)
})
