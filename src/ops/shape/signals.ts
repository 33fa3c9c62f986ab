/** Shape rules of Fourier transforms, image operators beside windows, linear attention, and of training inside a graph. */
import { intAttribute, intsAttribute, stringAttribute } from '../../graph/walk.ts'
import type { Dim } from '../../model.ts'
import { dataTypeOf } from '../../tensor/dtype.ts'
import { since } from '../operator-sets.ts'
import { axisOf, type Call, type Known, like, numbers, type Rule, typed, unknownDims } from './known.ts'
import { convShape } from './windows.ts'

const number = (known: Known): number | undefined => numbers(known)?.[0]

/** The last axis is 1 for real numbers and 2 for complex ones; onesided keeps the half that tells the other. */
const dft: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  if (!shape) return [{ dtype }]
  const told =
    call.opset < since.dftAxisInput ? intAttribute(call.node, 'axis', 1) : call.has(2) ? number(call.in(2)) : -2
  if (told === undefined) return [{ dtype, shape: unknownDims(shape.length) }]
  const axis = axisOf(told, shape.length)
  const onesided = intAttribute(call.node, 'onesided', 0) === 1
  const inverse = intAttribute(call.node, 'inverse', 0) === 1
  const given = call.has(1) ? number(call.in(1)) : undefined
  const size = shape[axis]
  const whole = onesided && inverse && typeof size === 'number' ? 2 * (size - 1) : size
  const length: Dim = call.has(1) ? given : whole
  const kept = onesided && !inverse ? (typeof length === 'number' ? Math.floor(length / 2) + 1 : undefined) : length
  const last = onesided && inverse ? 1 : 2
  return [{ dtype, shape: shape.map((d, i) => (i === shape.length - 1 ? last : i === axis ? kept : d)) }]
}

const stft: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const step = number(call.in(1))
  const window = call.in(2).shape?.[0]
  const frame: Dim = call.has(3) ? number(call.in(3)) : window
  const length = shape?.[1]
  const known = typeof length === 'number' && typeof frame === 'number' && step !== undefined
  const frames = known ? Math.floor((length - frame) / step) + 1 : undefined
  const onesided = intAttribute(call.node, 'onesided', 1) === 1
  const bins = typeof frame === 'number' && onesided ? Math.floor(frame / 2) + 1 : frame
  return [{ dtype, shape: [shape?.[0], frames, bins, 2] }]
}

const melWeights: Rule = (call) => {
  const [bins, length] = [number(call.in(0)), number(call.in(1))]
  const dtype = dataTypeOf(intAttribute(call.node, 'output_datatype', 1))
  return [{ dtype, shape: [length === undefined ? undefined : Math.floor(length / 2) + 1, bins] }]
}

/** A place in the input for each one of the output: N, spatial sizes, their number. */
const affineGrid: Rule = (call) => {
  const size = call.in(1).value
  const rank = call.in(1).shape?.[0]
  if (size) return [typed(call, [size[0], ...size.slice(2), size.length - 2])]
  return [typed(call, typeof rank === 'number' ? [...unknownDims(rank - 1), rank - 2] : undefined)]
}

const centerCropPad: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const target = call.in(1).value
  const axes = (intsAttribute(call.node, 'axes') ?? shape?.map((_, i) => i) ?? []).map((a) =>
    shape ? axisOf(a, shape.length) : a,
  )
  return [{ dtype, shape: shape?.map((d, i) => (axes.includes(i) ? target?.[axes.indexOf(i)] : d)) }]
}

const maxUnpool: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  if (call.has(2)) return [{ dtype, shape: call.in(2).value ?? shape?.map(() => undefined) }]
  const kernel = intsAttribute(call.node, 'kernel_shape') ?? []
  const strides = intsAttribute(call.node, 'strides') ?? kernel.map(() => 1)
  const pads = intsAttribute(call.node, 'pads') ?? [...kernel, ...kernel].map(() => 0)
  const out = shape?.map((d, i): Dim => {
    const k = i - 2
    if (k < 0 || typeof d !== 'number') return d
    return (d - 1) * strides[k] + kernel[k] - pads[k] - pads[k + kernel.length]
  })
  return [{ dtype, shape: out }]
}

const imageDecoder: Rule = (call) => {
  const channels = stringAttribute(call.node, 'pixel_format', 'RGB') === 'Grayscale' ? 1 : 3
  return [{ dtype: 'uint8', shape: [undefined, undefined, channels] }]
}

/** Matrices' last two axes go. */
const determinant: Rule = (call) => [typed(call, call.in(0).shape?.slice(0, -2))]

/** Heads lie side by side in the last axis; the state of each is a matrix from keys to values. */
const linearAttention: Rule = (call) => {
  const [q, k, v] = [call.in(0).shape, call.in(1).shape, call.in(2).shape]
  const [heads, sources] = [intAttribute(call.node, 'q_num_heads', 0), intAttribute(call.node, 'kv_num_heads', 0)]
  const each = (width: Dim): number | undefined =>
    typeof width === 'number' && sources > 0 ? width / sources : undefined
  const [keys, values] = [each(k?.[2]), each(v?.[2])]
  const state = call.has(3) ? call.in(3) : typed(call, [q?.[0], sources || undefined, keys, values], 2)
  const width = values === undefined || heads === 0 ? undefined : values * Math.max(heads, sources)
  return [typed(call, [q?.[0], q?.[1], width]), { dtype: state.dtype, shape: state.shape }]
}

/** The state is what the next convolution still needs of this input. */
const causalConv: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const kernel = call.in(1).shape?.at(-1)
  const kept = typeof kernel === 'number' ? kernel - 1 : undefined
  return [
    { dtype, shape },
    { dtype, shape: [shape?.[0], shape?.[1], kept] },
  ]
}

const flexAttention: Rule = (call) => {
  const [q, v] = [call.in(0).shape, call.in(2).shape]
  return [typed(call, q && [...q.slice(0, -1), v?.at(-1)])]
}

/** Rate, step, then tensors in groups (values, gradients, momenta); the outputs are those groups without the gradients. */
const optimizer =
  (groups: number): Rule =>
  (call: Call) => {
    const count = (call.node.inputs.length - 2) / groups
    return call.node.outputs.map((_, i) => {
      const { dtype, shape } = call.in(i < count ? 2 + i : 2 + i + count)
      return { dtype, shape }
    })
  }

/** The derivatives of one value by each of the first inputs. */
const gradient: Rule = (call) => call.node.outputs.map((_, i) => ({ dtype: call.in(i).dtype, shape: call.in(i).shape }))

const bitCast: Rule = (call) => [{ dtype: dataTypeOf(intAttribute(call.node, 'to', 0)), shape: call.in(0).shape }]

export const signals: Record<string, Rule> = {
  AffineGrid: affineGrid,
  BitCast: bitCast,
  CausalConvWithState: causalConv,
  CenterCropPad: centerCropPad,
  DeformConv: (call) => [typed(call, convShape(call, 0, 1))],
  Det: determinant,
  DFT: dft,
  ImageDecoder: imageDecoder,
  LinearAttention: linearAttention,
  MaxUnpool: maxUnpool,
  MelWeightMatrix: melWeights,
  STFT: stft,
  'ai.onnx.preview.FlexAttention': flexAttention,
  'ai.onnx.preview.training.Adagrad': optimizer(3),
  'ai.onnx.preview.training.Adam': optimizer(4),
  'ai.onnx.preview.training.Gradient': gradient,
  'ai.onnx.preview.training.Momentum': optimizer(3),
  'com.microsoft.RotaryEmbedding': like,
}
