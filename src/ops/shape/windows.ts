/**
 * Shape rules of operators that slide a window or work channel by channel: convolution, pooling, normalisation, resizing.
 * Layout is ONNX's: [batch, channels, ...spatial]. Formulas: onnx/docs/Operators.md.
 */
import { intAttribute, intsAttribute, stringAttribute } from '../../graph/walk.ts'
import type { Dim } from '../../model.ts'
import { since } from '../operator-sets.ts'
import {
  axisOf,
  type Call,
  fail,
  type Known,
  like,
  numbers,
  type Rule,
  same,
  show,
  typed,
  unknownDims,
} from './known.ts'

interface Window {
  readonly kernel: readonly Dim[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  /** [begin..., end...] */
  readonly pads: readonly number[]
  readonly autoPad: string
}

function windowOf(call: Call, kernel: readonly Dim[]): Window {
  const rank = kernel.length
  const list = (name: string, length: number, fill: number): number[] => {
    const value = intsAttribute(call.node, name) ?? new Array<number>(length).fill(fill)
    if (value.length !== length) fail(`${name} holds ${value.length} numbers; expected ${length}`)
    if (name !== 'pads' && value.some((v) => v < 1)) fail(`${name} [${value}] should be positive`)
    return value
  }
  return {
    kernel,
    strides: list('strides', rank, 1),
    dilations: list('dilations', rank, 1),
    pads: list('pads', 2 * rank, 0),
    autoPad: stringAttribute(call.node, 'auto_pad', 'NOTSET'),
  }
}

/** Steps of a window along each spatial dimension. */
function slide(spatial: readonly Dim[], w: Window, ceil = false): Dim[] {
  return spatial.map((size, i) => {
    const [kernel, stride] = [w.kernel[i], w.strides[i]]
    if (w.autoPad.startsWith('SAME')) {
      if (typeof size === 'number') return Math.ceil(size / stride)
      return stride === 1 ? size : undefined
    }
    if (typeof kernel !== 'number') return undefined
    const extent = w.dilations[i] * (kernel - 1) + 1
    const [begin, end] = w.autoPad === 'VALID' ? [0, 0] : [w.pads[i], w.pads[i + spatial.length]]
    // A size that is not known stays what it is where the window keeps it.
    if (typeof size !== 'number') return stride === 1 && begin + end === extent - 1 ? size : undefined
    if (size + begin + end < extent)
      fail(`its window of ${extent} does not fit its input: spatial size ${show(spatial)}, padded by ${begin + end}`)
    const steps = (size + begin + end - extent) / stride
    // A last window that would start in the end padding is left out.
    const last = ceil && Math.ceil(steps) * stride >= size + begin ? Math.ceil(steps) - 1 : Math.ceil(steps)
    return (ceil ? last : Math.floor(steps)) + 1
  })
}

function kernelOf(call: Call, weight: readonly Dim[] | undefined): readonly Dim[] | undefined {
  const declared = intsAttribute(call.node, 'kernel_shape')
  if (declared && weight) {
    if (declared.length !== weight.length - 2)
      fail(`kernel_shape [${declared}] does not fit its weights ${show(weight)}`)
    return declared.map((d, i) => same(d, weight[i + 2], 'kernel_shape and weights'))
  }
  return declared ?? weight?.slice(2)
}

/** Convolution of input `x` by weights `w`, as input numbers. */
export function convShape(call: Call, x: number, w: number): Dim[] | undefined {
  const [data, weight] = [call.in(x).shape, call.in(w).shape]
  const kernel = kernelOf(call, weight)
  if (data && weight && data.length !== weight.length)
    fail(`its input ${show(data)} and weights ${show(weight)} differ in rank`)
  if (!data) return kernel && [undefined, weight?.[0], ...unknownDims(kernel.length)]
  if (data.length < 3) fail(`its input ${show(data)} has no spatial dimension`)
  const group = intAttribute(call.node, 'group', 1)
  if (weight && typeof weight[1] === 'number' && typeof data[1] === 'number' && data[1] !== weight[1] * group)
    fail(
      `its input ${show(data)} has ${data[1]} channels; expected ${weight[1] * group} for weights ${show(weight)}, group ${group}`,
    )
  if (typeof weight?.[0] === 'number' && weight[0] % group !== 0)
    fail(`${weight[0]} output channels cannot be split into ${group} groups`)
  const spatial = kernel ? slide(data.slice(2), windowOf(call, kernel)) : unknownDims(data.length - 2)
  return [data[0], weight?.[0], ...spatial]
}

const conv: Rule = (call) => {
  const bias = call.in(2).shape
  const shape = convShape(call, 0, 1)
  if (bias && shape) same(bias[0], shape[1], 'bias and output channels')
  return [typed(call, shape)]
}

const convTranspose: Rule = (call) => {
  const [data, weight] = [call.in(0).shape, call.in(1).shape]
  const kernel = kernelOf(call, weight)
  if (!data) return [typed(call, undefined)]
  if (weight && data.length !== weight.length)
    fail(`its input ${show(data)} and weights ${show(weight)} differ in rank`)
  if (weight) same(data[1], weight[0], 'input channels and weights')
  const perGroup = weight?.[1]
  const channels = typeof perGroup === 'number' ? perGroup * intAttribute(call.node, 'group', 1) : undefined
  const fixed = intsAttribute(call.node, 'output_shape')
  if (fixed) return [typed(call, [data[0], channels, ...fixed.slice(fixed.length - data.length + 2)])]
  if (!kernel) return [typed(call, [data[0], channels, ...unknownDims(data.length - 2)])]
  const w = windowOf(call, kernel)
  const extra = intsAttribute(call.node, 'output_padding') ?? kernel.map(() => 0)
  const spatial = data.slice(2).map((size, i) => {
    if (typeof size !== 'number' || typeof kernel[i] !== 'number') return undefined
    if (w.autoPad.startsWith('SAME')) return size * w.strides[i]
    const extent = w.dilations[i] * (kernel[i] - 1) + 1
    return w.strides[i] * (size - 1) + extra[i] + extent - w.pads[i] - w.pads[i + kernel.length]
  })
  return [typed(call, [data[0], channels, ...spatial])]
}

export function poolShape(call: Call): Dim[] | undefined {
  const data = call.in(0).shape
  const kernel = intsAttribute(call.node, 'kernel_shape')
  if (!kernel) fail('kernel_shape is missing')
  if (!data) return [undefined, undefined, ...unknownDims(kernel.length)]
  if (data.length !== kernel.length + 2) fail(`kernel_shape [${kernel}] does not fit its input ${show(data)}`)
  const ceil = intAttribute(call.node, 'ceil_mode', 0) === 1
  return [data[0], data[1], ...slide(data.slice(2), windowOf(call, kernel), ceil)]
}

const maxPool: Rule = (call) => {
  const shape = poolShape(call)
  return [typed(call, shape), { dtype: 'int64', shape }]
}

const averagePool: Rule = (call) => [typed(call, poolShape(call))]

const globalPool: Rule = (call) => [
  typed(
    call,
    call.in(0).shape?.map((d, i) => (i < 2 ? d : 1)),
  ),
]

/** Y, and in training the channels' statistics. */
const batchNormalization: Rule = (call) => {
  const x = call.in(0)
  let channels: Dim = x.shape && (x.shape.length > 1 ? x.shape[1] : 1)
  for (let i = 1; i < 5; i++) {
    const own = call.in(i).shape
    if (own && own.length !== 1) fail(`its parameters should have one dimension, got ${show(own)}`)
    if (own) channels = same(channels, own[0], `channels of its input ${show(x.shape)} and parameter ${i}`)
  }
  const statistic: Known = { dtype: call.in(3).dtype, shape: [channels] }
  return [{ dtype: x.dtype, shape: x.shape }, statistic, statistic, statistic, statistic]
}

/** Y, and the mean and deviation of each normalised part. */
const layerNormalization: Rule = (call) => {
  const { dtype, shape } = call.in(0)
  const axis = shape && axisOf(intAttribute(call.node, 'axis', -1), shape.length)
  const statistic: Known = {
    dtype: 'float32',
    shape: shape?.map((d, i) => (axis !== undefined && i >= axis ? 1 : d)),
  }
  return [{ dtype, shape }, statistic, statistic]
}

function scaledBy(call: Call, scales: readonly number[]): Known {
  const shape = call.in(0).shape?.map((d, i) => (typeof d === 'number' ? Math.floor(d * scales[i]) : undefined))
  return typed(call, shape)
}

/** Output sizes of Resize (10 to 19) and Upsample (1 to 9). */
const resize: Rule = (call) => {
  const data = call.in(0).shape
  const [scalesAt, sizesAt] = call.node.op === 'Upsample' || call.opset < since.resizeToSizes ? [1, -1] : [2, 3]
  const { scales: attribute, height_scale: height, width_scale: width } = call.node.attributes
  if (height?.type === 'float' && width?.type === 'float') return [scaledBy(call, [1, 1, height.value, width.value])]
  const scales = attribute?.type === 'floats' ? [...attribute.value] : numbers(call.in(scalesAt))
  const sizes = sizesAt > 0 && call.has(sizesAt) ? call.in(sizesAt).value : undefined
  if (!data) return [typed(call, undefined)]
  const axes = (intsAttribute(call.node, 'axes') ?? data.map((_, i) => i)).map((a) => axisOf(a, data.length))
  const out: Dim[] = data.map((d, i) => (axes.includes(i) ? undefined : d))
  if (sizes) {
    if (sizes.length !== axes.length) fail(`${sizes.length} sizes; expected ${axes.length}`)
    const policy = stringAttribute(call.node, 'keep_aspect_ratio_policy', 'stretch')
    const ratios = axes.map((a, i) => Number(sizes[i]) / Number(data[a]))
    const ratio = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios)
    axes.forEach((a, i) => {
      if (policy === 'stretch') out[a] = sizes[i]
      else if (!Number.isNaN(ratio)) out[a] = Math.floor(ratio * Number(data[a]) + 0.5)
    })
  } else if (scales && scales.length > 0) {
    if (scales.length !== axes.length) fail(`${scales.length} scales; expected ${axes.length}`)
    axes.forEach((a, i) => {
      const d = data[a]
      out[a] =
        typeof d === 'number' ? Math.floor(Math.fround(d * Math.fround(scales[i]))) : scales[i] === 1 ? d : undefined
    })
  }
  return [typed(call, out)]
}

const gridSample: Rule = (call) => {
  const [data, grid] = [call.in(0).shape, call.in(1).shape]
  return [typed(call, data && grid && [data[0], data[1], ...grid.slice(1, -1)])]
}

const roiAlign: Rule = (call) => {
  const size = (name: string): number => intAttribute(call.node, name, 1)
  return [typed(call, [call.in(1).shape?.[0], call.in(0).shape?.[1], size('output_height'), size('output_width')])]
}

const col2im: Rule = (call) => {
  const [data, image, block] = [call.in(0).shape, call.in(1).value, numbers(call.in(2))]
  const channels = data && block && typeof data[1] === 'number' ? data[1] / block.reduce((a, b) => a * b, 1) : undefined
  return [typed(call, image && [data?.[0], channels, ...image])]
}

/** Four-dimensional rearrangements between channels and space. */
const blockRule =
  (toSpace: boolean): Rule =>
  (call) => {
    const data = call.in(0).shape
    const b = intAttribute(call.node, 'blocksize', 1)
    if (!data) return [typed(call, undefined)]
    if (data.length !== 4) fail(`its input ${show(data)} should have 4 dimensions`)
    const times = (d: Dim, by: number): Dim => (typeof d === 'number' ? d * by : undefined)
    const over = (d: Dim, by: number): Dim => {
      if (typeof d !== 'number') return undefined
      if (d % by !== 0) fail(`its input ${show(data)} cannot be split in blocks of ${b}`)
      return d / by
    }
    const [channels, space] = toSpace ? [over, times] : [times, over]
    return [typed(call, [data[0], channels(data[1], b * b), space(data[2], b), space(data[3], b)])]
  }

export const windows: Record<string, Rule> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  'com.microsoft.FusedConv': conv,
  MaxPool: maxPool,
  AveragePool: averagePool,
  LpPool: averagePool,
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
  GlobalLpPool: globalPool,
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  RMSNormalization: like,
  GroupNormalization: like,
  InstanceNormalization: like,
  LRN: like,
  Resize: resize,
  Upsample: resize,
  GridSample: gridSample,
  RoiAlign: roiAlign,
  Col2Im: col2im,
  DepthToSpace: blockRule(true),
  SpaceToDepth: blockRule(false),
}
