/**
 * What the graph coder learns before the first byte of every file: a made-up model with the operators, attributes and
 * names that small networks have, so that a graph of a few nodes costs little. It is part of the format: to change it is
 * to change the version.
 */
import type { Message } from '../onnx/wire.ts'

/** A line a node: operator, inputs, outputs, attributes (ints in brackets, one int, or a float with a point). */
const nodes = `
Conv input,conv1.weight,conv1.bias /conv1/Conv_output_0 dilations=[1,1] group=1 kernel_shape=[3,3] pads=[1,1,1,1] strides=[1,1]
Relu /conv1/Conv_output_0 /relu/Relu_output_0
MaxPool /relu/Relu_output_0 /pool/MaxPool_output_0 ceil_mode=0 kernel_shape=[2,2] pads=[0,0,0,0] strides=[2,2]
Conv /pool/MaxPool_output_0,conv2.weight,conv2.bias /conv2/Conv_output_0 dilations=[1,1] group=1 kernel_shape=[5,5] pads=[0,0,0,0] strides=[1,1]
BatchNormalization /conv2/Conv_output_0,layer1.0.bn1.weight,layer1.0.bn1.bias,layer1.0.bn1.running_mean,layer1.0.bn1.running_var /layer1/layer1.0/bn1/BatchNormalization_output_0 epsilon=1e-5 momentum=0.9
Relu /layer1/layer1.0/bn1/BatchNormalization_output_0 /layer1/layer1.0/relu/Relu_output_0
Conv /layer1/layer1.0/relu/Relu_output_0,layer1.0.conv2.weight /layer1/layer1.0/conv2/Conv_output_0 dilations=[1,1] group=16 kernel_shape=[3,3] pads=[1,1,1,1] strides=[2,2]
Add /layer1/layer1.0/conv2/Conv_output_0,/relu/Relu_output_0 /layer1/layer1.0/Add_output_0
Clip /layer1/layer1.0/Add_output_0,min,max /clip/Clip_output_0
Sigmoid /clip/Clip_output_0 /Sigmoid_output_0
Mul /clip/Clip_output_0,/Sigmoid_output_0 /Mul_output_0
Concat /Mul_output_0,/clip/Clip_output_0 /Concat_output_0 axis=1
Transpose /Concat_output_0 /Transpose_output_0 perm=[0,2,3,1]
DequantizeLinear fc.weight_quantized,fc.weight_scale,fc.weight_zero_point fc.weight_dequantized axis=0
QuantizeLinear /Transpose_output_0,scale,zero_point /Transpose_output_0_QuantizeLinear_Output
DequantizeLinear /Transpose_output_0_QuantizeLinear_Output,scale,zero_point /Transpose_output_0_DequantizeLinear_Output
AveragePool /Transpose_output_0_DequantizeLinear_Output /AveragePool_output_0 kernel_shape=[8,8] pads=[0,0,0,0] strides=[8,8]
GlobalAveragePool /AveragePool_output_0 /GlobalAveragePool_output_0
Reshape /GlobalAveragePool_output_0,shape /Reshape_output_0 allowzero=0
Flatten /Reshape_output_0 /Flatten_output_0 axis=1
MatMul /Flatten_output_0,onnx::MatMul_31 /fc/MatMul_output_0
Gemm /fc/MatMul_output_0,fc1.weight,fc1.bias /fc1/Gemm_output_0 alpha=1.0 beta=1.0 transB=1
Relu /fc1/Gemm_output_0 /relu_1/Relu_output_0
Gemm /relu_1/Relu_output_0,fc2.weight,fc2.bias output alpha=1.0 beta=1.0 transB=1
Softmax output probabilities axis=-1
`

const initializers: readonly [name: string, dataType: number, dims: readonly number[]][] = [
  ['conv1.weight', 1, [16, 3, 3, 3]],
  ['conv1.bias', 1, [16]],
  ['conv2.weight', 1, [32, 16, 5, 5]],
  ['conv2.bias', 1, [32]],
  ['layer1.0.bn1.weight', 1, [32]],
  ['layer1.0.bn1.bias', 1, [32]],
  ['layer1.0.bn1.running_mean', 1, [32]],
  ['layer1.0.bn1.running_var', 1, [32]],
  ['layer1.0.conv2.weight', 1, [64, 32, 3, 3]],
  ['fc.weight_quantized', 3, [128, 64]],
  ['fc.weight_scale', 1, []],
  ['fc.weight_zero_point', 3, []],
  ['shape', 7, [2]],
  ['fc1.weight', 1, [128, 784]],
  ['fc1.bias', 1, [128]],
  ['fc2.weight', 1, [10, 128]],
  ['fc2.bias', 1, [10]],
]

/** The made-up model as a message; its tensors have empty data. */
export function primer(): Message {
  const tensorType = (elemType: number, dims: readonly (number | string)[]): Message => ({
    tensorType: { elemType, shape: { dims: dims.map((d) => (typeof d === 'number' ? { value: d } : { param: d })) } },
  })
  return {
    irVersion: 8,
    producerName: 'pytorch',
    producerVersion: '2.1.0',
    graph: {
      name: 'main_graph',
      nodes: nodes.trim().split('\n').map(node),
      initializers: initializers.map(([name, dataType, dims]) => ({
        dims: [...dims],
        dataType,
        name,
        rawData: new Uint8Array(0),
      })),
      inputs: [{ name: 'input', type: tensorType(1, ['batch_size', 1, 28, 28]) }],
      outputs: [{ name: 'output', type: tensorType(1, ['batch_size', 10]) }],
      valueInfo: [{ name: '/conv1/Conv_output_0', type: tensorType(1, ['batch_size', 16, 28, 28]) }],
    },
    opsets: [{ domain: '', version: 17 }],
  }
}

function node(line: string): Message {
  const [op, inputs, outputs, ...attributes] = line.split(' ')
  const name = outputs.split('_output_0')[0]
  return {
    inputs: inputs.split(','),
    outputs: outputs.split(','),
    name,
    op,
    attributes: attributes.map((text) => {
      const [key, value] = text.split('=')
      if (value.startsWith('[')) return { name: key, ints: value.slice(1, -1).split(',').map(Number), type: 7 }
      return /[.e]/.test(value)
        ? { name: key, f: Math.fround(Number(value)), type: 1 }
        : { name: key, i: Number(value), type: 2 }
    }),
  }
}
