/** No structure that people's files have packs worse than brotli makes of the file. */
import { brotliCompressSync, constants } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { model, node, valueInfo } from '../graph/build.ts'
import type { Attribute, Graph, Model } from '../model.ts'
import { writeModel } from '../onnx/write.ts'
import { floatTensor } from '../tensor/dtype.ts'
import { exportedStructures } from '../testing/exported-structures.ts'
import { longTexts } from '../testing/long-texts.ts'
import { packModel } from './pack.ts'
import { unpackOnnx } from './unpack.ts'

/** Ifs within the branches of Ifs, so many deep. */
function nestedIfs(depth: number): Pick<Graph, 'nodes' | 'outputs'> {
  const outputs = [valueInfo('y', 'float32', ['N', 8])]
  if (depth === 0) return { nodes: [node('MatMul', ['x', 'w'], ['y'])], outputs }
  const branch = (graph: Pick<Graph, 'nodes' | 'outputs'>): Attribute => ({
    type: 'graph',
    value: { name: 'branch', initializers: new Map(), inputs: [], ...graph },
  })
  const branches = {
    then_branch: branch(nestedIfs(depth - 1)),
    else_branch: branch({ nodes: [node('Identity', ['x'], ['y'])], outputs }),
  }
  return { nodes: [node('If', ['c'], ['y'], branches)], outputs }
}

const ifs = model({
  ...nestedIfs(20),
  inputs: [valueInfo('x', 'float32', ['N', 8]), valueInfo('c', 'bool', [])],
  initializers: new Map([
    [
      'w',
      floatTensor(
        'w',
        [8, 8],
        Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)),
      ),
    ],
  ]),
})

const models: Record<string, Model> = { ...exportedStructures(), ...longTexts(), 'ifs within ifs': ifs }

describe('packed, and back to the same bytes', () => {
  it.each(Object.keys(models))('%s', (name) => {
    const onnx = writeModel(models[name])
    const packed = packModel(models[name])
    expect(Buffer.compare(unpackOnnx(packed), onnx)).toBe(0)
    const brotli = brotliCompressSync(onnx, { params: { [constants.BROTLI_PARAM_LGWIN]: 24 } })
    expect(packed.length).toBeLessThanOrEqual(brotli.length)
  })

  const shareOf = (name: string): number => {
    const tensors = [...models[name].graph.initializers.values()]
    return packModel(models[name]).length / tensors.reduce((n, t) => n + t.data.length, 0)
  }

  it('floats that were shorter once take the bits they had', () => {
    expect(shareOf('float32 from float16')).toBeLessThan(0.5)
    expect(shareOf('bfloat16 weights')).toBeLessThan(0.68)
    expect(shareOf('float32 from bfloat16')).toBeLessThan(0.34)
    expect(shareOf('dequantised a row')).toBeLessThan(0.26)
    expect(shareOf('dequantised a column')).toBeLessThan(0.26)
    expect(shareOf('dequantised in two roundings')).toBeLessThan(0.27)
    expect(shareOf('quantised, then scaled by a normalisation')).toBeLessThan(0.24)
    expect(shareOf('dequantised to 16 bits')).toBeLessThan(0.47)
    expect(shareOf('codebooks per row and per block')).toBeLessThan(0.21)
    expect(shareOf('symmetric matrices')).toBeLessThan(0.45)
    expect(shareOf('rows of another tensor')).toBeLessThan(0.18)
    expect(shareOf('Hadamard matrices')).toBeLessThan(0.01)
    expect(shareOf('cosines and sines apart, and a cosine transform')).toBeLessThan(0.16)
    expect(shareOf('a tensor and itself times powers of two')).toBeLessThan(0.32)
    expect(shareOf('float64, quantised per row')).toBeLessThan(0.13)
    expect(shareOf('places on a map')).toBeLessThan(0.46)
  })
})
