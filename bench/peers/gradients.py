"""PyTorch's side of gradients.mts: an ONNX graph computed by PyTorch's own operators, and differentiated by its autograd.

Reads a case a line, answers with a line: the value and the gradients, in float64 and in float32. All JSON; tensors are
{dtype, dims, base64 data}. A case: {nodes, tensors, wrt, of, target, vectors}; with a target (class probabilities) the
loss is the cross-entropy of `of`, else `of` is the scalar itself; with vectors, the Hessian's products with them are
given too. Gradients come back as float64.
"""

import base64
import json
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

torch.set_num_threads(1)


class At:
    """A node's attributes, by name."""

    def __init__(self, node):
        self.values = node["attributes"]
        self.outputs = node["outputs"]

    def __call__(self, name, default=None):
        return self.values.get(name, default)


def ints(t):
    return [int(v) for v in t.reshape(-1).tolist()]


def sliding(name, rank):
    return getattr(F, f"{name}{rank}d")


def pads_of(at, x, kernel, strides, dilations):
    """(begin, end) of each axis."""
    rank, auto = len(kernel), at("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        sizes = x.shape[2:]
        totals = [max(0, (math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n) for n, k, s, d in zip(sizes, kernel, strides, dilations)]
        return [(t // 2, t - t // 2) if auto == "SAME_UPPER" else (t - t // 2, t // 2) for t in totals]
    pads = at("pads", [0] * 2 * rank)
    return list(zip(pads[:rank], pads[rank:]))


def pad(x, pads, value=0.0):
    return F.pad(x, [p for pair in reversed(pads) for p in pair], value=value)


def window(at, x, kernel):
    ones = [1] * len(kernel)
    strides, dilations = at("strides", ones), at("dilations", ones)
    return strides, dilations, pads_of(at, x, kernel, strides, dilations)


def conv(at, x, w, b=None):
    strides, dilations, pads = window(at, x, w.shape[2:])
    return sliding("conv", w.dim() - 2)(pad(x, pads), w, b, strides, 0, dilations, at("group", 1))


def conv_transpose(at, x, w, b=None):
    rank = w.dim() - 2
    ones = [1] * rank
    pads = at("pads", [0] * 2 * rank)
    y = sliding("conv_transpose", rank)(
        x, w, b, at("strides", ones), 0, at("output_padding", [0] * rank), at("group", 1), at("dilations", ones)
    )
    return pad(y, [(-a, -b) for a, b in zip(pads[:rank], pads[rank:])])


def beyond(at, x, kernel, strides, dilations, pads):
    """Extra rows that ceil_mode's last window reads."""
    if not at("ceil_mode", 0):
        return pads
    wider = []
    for n, k, s, d, (a, b) in zip(x.shape[2:], kernel, strides, dilations, pads):
        room = n + a + b - d * (k - 1) - 1
        windows = math.ceil(room / s) + 1
        if (windows - 1) * s >= n + a:  # a window must begin within the image or its left padding
            windows -= 1
        wider.append((a, b + max(0, (windows - 1) * s - room)))
    return wider


def max_pool(at, x):
    kernel = at("kernel_shape")
    strides, dilations, pads = window(at, x, kernel)
    pads = beyond(at, x, kernel, strides, dilations, pads)
    return sliding("max_pool", len(kernel))(pad(x, pads, -math.inf), kernel, strides, 0, dilations)


def average_pool(at, x):
    kernel = at("kernel_shape")
    strides, dilations, pads = window(at, x, kernel)
    wider = beyond(at, x, kernel, strides, dilations, pads)
    counted = pad(torch.ones_like(x), pads, 1.0 if at("count_include_pad", 0) else 0.0)
    counted = pad(counted, [(0, b - b0) for (_, b), (_, b0) in zip(wider, pads)])
    pool = sliding("avg_pool", len(kernel))
    return pool(pad(x, wider), kernel, strides) / pool(counted, kernel, strides)


def batch_norm(at, x, scale, bias, mean=None, var=None):
    epsilon = at("epsilon", 1e-5)
    if mean is not None and not at("training_mode", 0):
        return F.batch_norm(x, mean, var, scale, bias, False, 0, epsilon)
    axes = [0, *range(2, x.dim())]
    y = F.batch_norm(x, None, None, scale, bias, True, 0, epsilon)
    batch = x.mean(axes), x.var(axes, unbiased=False)
    if mean is None:
        return (y, *batch)
    m = at("momentum", 0.9)
    return y, m * mean + (1 - m) * batch[0], m * var + (1 - m) * batch[1]


def gemm(at, a, b, c=None):
    a, b = (a.t() if at("transA", 0) else a), (b.t() if at("transB", 0) else b)
    y = at("alpha", 1.0) * (a @ b)
    return y if c is None else y + at("beta", 1.0) * c


def reduction(function):
    def reduce(at, x, axes=None):
        axes = ints(axes) if axes is not None else list(range(x.dim()))
        return function(x, [a % x.dim() for a in axes], bool(at("keepdims", 1)))

    return reduce


def prod(x, axes, keep):
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def slice_(at, x, starts, ends, axes=None, steps=None):
    starts, ends = ints(starts), ints(ends)
    axes = ints(axes) if axes is not None else range(len(starts))
    steps = ints(steps) if steps is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps):
        kept = range(x.shape[axis])[slice(start, end if end >= -x.shape[axis] else None, step)]
        x = x.index_select(axis, torch.tensor(list(kept)))
    return x


def pad_op(at, x, pads, value=None, axes=None):
    axes = ints(axes) if axes is not None else list(range(x.dim()))
    given = ints(pads)
    pairs = [(0, 0)] * x.dim()
    for i, axis in enumerate(axes):
        pairs[axis] = (given[i], given[i + len(axes)])
    mode = at("mode", "constant")
    if mode == "constant":
        return pad(x, pairs, 0.0 if value is None else float(value))
    for axis, pair in enumerate(pairs):
        x = x.index_select(axis, torch.from_numpy(np.pad(np.arange(x.shape[axis]), pair, mode=mode)))
    return x


def gather(at, x, indices):
    axis = at("axis", 0) % x.dim()
    flat = x.index_select(axis, indices.reshape(-1) % x.shape[axis])
    return flat.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def gather_elements(at, x, indices):
    axis = at("axis", 0)
    return x.gather(axis, indices % x.shape[axis])


def resize(at, x, roi=None, scales=None):
    factors = [float(s) for s in scales][2:]
    mode, coordinates = at("mode", "nearest"), at("coordinate_transformation_mode", "half_pixel")
    if mode == "nearest":
        return F.interpolate(x, scale_factor=factors, mode="nearest")
    corners = coordinates == "align_corners"
    return F.interpolate(x, scale_factor=factors, mode="bilinear", align_corners=corners)


def split(at, x, sizes):
    return x.split(ints(sizes), at("axis", 0))


def squeeze(at, x, axes):
    return x.squeeze(tuple(ints(axes)))


def unsqueeze(at, x, axes):
    rank = x.dim() + axes.numel()
    for axis in sorted(a % rank for a in ints(axes)):
        x = x.unsqueeze(axis)
    return x


def reshape(at, x, shape):
    return x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(ints(shape))])


def flatten(at, x):
    axis = at("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


functions = {
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
    "Relu": torch.relu,
    "Softplus": F.softplus,
    "HardSigmoid": lambda x: torch.clamp(0.2 * x + 0.5, 0, 1),
}


def rnn_cell(at, fs, xw, h, c, r, rb):
    return fs[0](xw + h @ r.t() + rb), c


def gru_cell(at, fs, xw, h, c, r, rb):
    (xz, xr, xn), (rz, rr, rn), (bz, br, bn) = xw.chunk(3, -1), r.chunk(3), rb.chunk(3)
    z, reset = fs[0](xz + h @ rz.t() + bz), fs[0](xr + h @ rr.t() + br)
    if at("linear_before_reset", 0):
        new = fs[1](xn + reset * (h @ rn.t() + bn))
    else:
        new = fs[1](xn + (reset * h) @ rn.t() + bn)
    return (1 - z) * new + z * h, c


def lstm_cell(at, fs, xw, h, c, r, rb):
    i, o, f, new = (xw + h @ r.t() + rb).chunk(4, -1)
    c = fs[0](f) * c + fs[0](i) * fs[1](new)
    return fs[0](o) * fs[2](c), c


def recurrent(cell, default):
    """Step by step, as ONNX defines it (PyTorch's own layers order their gates otherwise)."""

    def layer(at, x, w, r, b=None, lengths=None, h0=None, c0=None, peepholes=None):
        directions, hidden = r.shape[0], r.shape[2]
        names = at("activations", default * 2)
        states, last, cells = [], [], []
        for d in range(directions):
            fs = [functions[name] for name in names[d * len(default) : (d + 1) * len(default)]]
            wb, rb = (b[d].chunk(2) if b is not None else (0.0, torch.zeros(r.shape[1], dtype=x.dtype)))
            zero = torch.zeros(x.shape[1], hidden, dtype=x.dtype)
            h, c = (zero if h0 is None else h0[d]), (zero if c0 is None else c0[d])
            order = range(x.shape[0])
            steps = {}
            for t in reversed(order) if d == 1 or at("direction") == "reverse" else order:
                h, c = cell(at, fs, x[t] @ w[d].t() + wb, h, c, r[d], rb)
                steps[t] = h
            states.append(torch.stack([steps[t] for t in order]))
            last.append(h)
            cells.append(c)
        results = torch.stack(states, 1), torch.stack(last), torch.stack(cells)
        return results[0] if len(at.outputs) == 1 else results

    return layer


def group_normalization(at, x, scale, bias):
    groups, channels = at("num_groups"), x.shape[1]
    y = F.group_norm(x, groups, eps=at("epsilon", 1e-5))
    by = [s.repeat_interleave(channels // s.numel()).reshape(1, -1, *[1] * (x.dim() - 2)) for s in (scale, bias)]
    return y * by[0] + by[1]


def attention(at, q, k, v, mask=None):
    flat = q.dim() == 3
    if flat:
        heads, sources = at("q_num_heads"), at("kv_num_heads")
        q, k, v = [t.unflatten(2, (n, -1)).transpose(1, 2) for t, n in ((q, heads), (k, sources), (v, sources))]
    more = {"is_causal": bool(at("is_causal", 0)), "scale": at("scale"), "enable_gqa": q.shape[1] != k.shape[1]}
    with sdpa_kernel(SDPBackend.MATH):  # the others cannot be differentiated twice
        y = F.scaled_dot_product_attention(q, k, v, mask, **more)
    return y.transpose(1, 2).flatten(2) if flat else y


def depth_to_space(at, x):
    n, c, h, w = x.shape
    b = at("blocksize")
    if at("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, b)
    return x.reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // (b * b), h * b, w * b)


def space_to_depth(at, x):
    n, c, h, w = x.shape
    b = at("blocksize")
    return x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


def cumsum(at, x, axis):
    a = int(axis)
    y = x.flip(a) if at("reverse", 0) else x
    y = y.cumsum(a) - (y if at("exclusive", 0) else 0)
    return y.flip(a) if at("reverse", 0) else y


def top_k(at, x, k):
    return tuple(x.topk(int(k), at("axis", -1), bool(at("largest", 1)), bool(at("sorted", 1))))


def gather_nd(at, x, indices):
    return x[tuple(indices.unbind(-1))]


def scatter_nd(at, x, indices, updates):
    return x.index_put(tuple(indices.unbind(-1)), updates)


def mean_variance(at, x):
    axes = at("axes", [0, 2, 3])
    return (x - x.mean(axes, True)) / (x.var(axes, unbiased=False, keepdim=True) + 1e-9).sqrt()


ranges = {torch.int8: (-128, 127), torch.uint8: (0, 255)}


def quantize(at, x, scale, zero):
    """Not computed: PyTorch's straight-through operators are of the pair, so DequantizeLinear gets what it needs."""
    return x, scale, zero, *ranges[zero.dtype], at("axis", 1)


def dequantize(at, quantised, scale, zero):
    x, scale, zero, low, high, axis = quantised
    # PyTorch has these in float32 only.
    parts = x.float(), scale.reshape(-1).float(), zero.reshape(-1).float()
    if scale.numel() == 1:
        y = torch._fake_quantize_learnable_per_tensor_affine(*parts, low, high, 1.0)
    else:
        y = torch._fake_quantize_learnable_per_channel_affine(*parts, axis, low, high, 1.0)
    return y.to(x.dtype)


def plain(function):
    return lambda at, *xs: function(*xs)


def folded(function):
    def fold(at, *xs):
        total = xs[0]
        for x in xs[1:]:
            total = function(total, x)
        return total

    return fold


operators = {
    "Neg": plain(torch.neg),
    "Abs": plain(torch.abs),
    "Exp": plain(torch.exp),
    "Log": plain(torch.log),
    "Sqrt": plain(torch.sqrt),
    "Reciprocal": plain(torch.reciprocal),
    "Sin": plain(torch.sin),
    "Cos": plain(torch.cos),
    "Erf": plain(torch.erf),
    "Identity": plain(lambda x: x),
    "Dropout": plain(lambda x, *_: x),  # inference form; the training form multiplies by a mask that is fed
    "Cast": plain(lambda x: x),
    "Sigmoid": plain(torch.sigmoid),
    "Tanh": plain(torch.tanh),
    "Softplus": plain(F.softplus),
    "Softsign": plain(F.softsign),
    "Relu": plain(F.relu),
    "HardSwish": plain(F.hardswish),
    "Elu": lambda at, x: F.elu(x, at("alpha", 1.0)),
    "LeakyRelu": lambda at, x: F.leaky_relu(x, at("alpha", 0.01)),
    "PRelu": lambda at, x, slope: torch.where(x > 0, x, slope * x),
    "HardSigmoid": lambda at, x: torch.clamp(at("alpha", 0.2) * x + at("beta", 0.5), 0, 1),
    "Gelu": lambda at, x: F.gelu(x, approximate=at("approximate", "none")),
    "Clip": lambda at, x, low=None, high=None: torch.clamp(x, low, high),
    "Add": plain(torch.add),
    "Sub": plain(torch.sub),
    "Mul": plain(torch.mul),
    "Div": plain(torch.div),
    "Pow": plain(torch.pow),
    "Max": folded(torch.maximum),
    "Min": folded(torch.minimum),
    "Sum": folded(torch.add),
    "Mean": lambda at, *xs: folded(torch.add)(at, *xs) / len(xs),
    "Where": plain(torch.where),
    "ReduceSum": reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "ReduceMean": reduction(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "ReduceMax": reduction(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "ReduceMin": reduction(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "ReduceProd": reduction(prod),
    "ReduceL1": reduction(lambda x, axes, keep: torch.linalg.vector_norm(x, 1, axes, keep)),
    "ReduceL2": reduction(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep)),
    "ReduceSumSquare": reduction(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
    "ReduceLogSum": reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep).log()),
    "ReduceLogSumExp": reduction(lambda x, axes, keep: x.logsumexp(axes, keep)),
    "Softmax": lambda at, x: x.softmax(at("axis", -1)),
    "LogSoftmax": lambda at, x: x.log_softmax(at("axis", -1)),
    "Gemm": gemm,
    "MatMul": plain(torch.matmul),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": lambda at, x: x.mean(list(range(2, x.dim())), keepdim=True),
    "GlobalMaxPool": lambda at, x: x.amax(list(range(2, x.dim())), keepdim=True),
    "LRN": lambda at, x: F.local_response_norm(x, at("size"), at("alpha", 1e-4), at("beta", 0.75), at("bias", 1.0)),
    "BatchNormalization": batch_norm,
    "BatchNormTrain": batch_norm,
    "LayerNormalization": lambda at, x, scale, bias=None: F.layer_norm(
        x, x.shape[at("axis", -1) :], scale, bias, at("epsilon", 1e-5)
    ),
    "InstanceNormalization": lambda at, x, scale, bias: F.instance_norm(x, None, None, scale, bias, eps=at("epsilon", 1e-5)),
    "RNN": recurrent(rnn_cell, ["Tanh"]),
    "GRU": recurrent(gru_cell, ["Sigmoid", "Tanh"]),
    "LSTM": recurrent(lstm_cell, ["Sigmoid", "Tanh", "Tanh"]),
    "Einsum": lambda at, *xs: torch.einsum(at("equation"), *xs),
    "GroupNormalization": group_normalization,
    "RMSNormalization": lambda at, x, scale: F.rms_norm(x, x.shape[at("axis", -1) :], scale, at("epsilon", 1e-5)),
    "MeanVarianceNormalization": mean_variance,
    "LpNormalization": lambda at, x: F.normalize(x, at("p", 2), at("axis", -1)),
    "Attention": attention,
    "Celu": lambda at, x: F.celu(x, at("alpha", 1.0)),
    "Selu": plain(F.selu),
    "Mish": plain(F.mish),
    "ThresholdedRelu": lambda at, x: F.threshold(x, at("alpha", 1.0), 0.0),
    "Shrink": lambda at, x: F.hardshrink(x, at("lambd", 0.5)),
    "Tan": plain(torch.tan),
    "Sinh": plain(torch.sinh),
    "Cosh": plain(torch.cosh),
    "Atan": plain(torch.atan),
    "Asinh": plain(torch.asinh),
    "Atanh": plain(torch.atanh),
    "CastLike": plain(lambda x, like: x),
    "Mod": plain(torch.fmod),
    "CumSum": cumsum,
    "TopK": top_k,
    "Trilu": lambda at, x, k: (torch.triu if at("upper", 1) else torch.tril)(x, int(k)),
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "GatherND": gather_nd,
    "ScatterND": scatter_nd,
    "ScatterElements": lambda at, x, indices, updates: x.scatter(at("axis", 0), indices, updates),
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": lambda at, x: x.permute(at("perm", list(reversed(range(x.dim()))))),
    "Concat": lambda at, *xs: torch.cat(xs, at("axis")),
    "Split": split,
    "Slice": slice_,
    "Pad": pad_op,
    "Expand": lambda at, x, shape: x * torch.ones(ints(shape), dtype=x.dtype),
    "Tile": lambda at, x, repeats: x.repeat(ints(repeats)),
    "Gather": gather,
    "GatherElements": gather_elements,
    "Resize": resize,
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
}


def tensor(stored, dtype):
    kind = {"float32": "<f4", "int64": "<i8", "bool": "?", "int8": "i1", "uint8": "u1"}[stored["dtype"]]
    values = np.frombuffer(base64.b64decode(stored["data"]), kind).reshape(stored["dims"]).copy()
    t = torch.from_numpy(values)
    return t.to(dtype) if t.is_floating_point() else t


def differentiate(case, dtype):
    values = {name: tensor(stored, dtype) for name, stored in case["tensors"].items()}
    for name in case["wrt"]:
        values[name].requires_grad_(True)
    for node in case["nodes"]:
        inputs = [values[name] if name else None for name in node["inputs"]]
        results = operators[node["op"]](At(node), *inputs)
        single = len(node["outputs"]) == 1
        for name, value in zip(node["outputs"], [results] if single else results):
            values[name] = value
    loss = values[case["of"]]
    if "target" in case:
        loss = F.cross_entropy(loss, tensor(case["target"], dtype))
    wrt, vectors = [values[name] for name in case["wrt"]], case.get("vectors", {})
    gradients = torch.autograd.grad(loss, wrt, allow_unused=True, create_graph=bool(vectors))
    by_name = dict(zip(case["wrt"], gradients))
    product = sum((by_name[name] * tensor(v, dtype)).sum() for name, v in vectors.items())
    varies = vectors and product.requires_grad
    products = torch.autograd.grad(product, wrt, allow_unused=True) if varies else [None] * len(wrt)
    return {"value": loss.item(), "gradients": packed(case["wrt"], gradients), "products": packed(case["wrt"], products)}


def packed(names, tensors):
    coded = [None if t is None else base64.b64encode(t.double().numpy(force=True).tobytes()).decode() for t in tensors]
    return dict(zip(names, coded))


print(json.dumps({"torch": torch.__version__}), flush=True)
for line in sys.stdin:
    case = json.loads(line)
    print(json.dumps({"float64": differentiate(case, torch.float64), "float32": differentiate(case, torch.float32)}), flush=True)
