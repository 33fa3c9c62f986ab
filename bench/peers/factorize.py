"""tensorly's side of factorize.mts: Tucker-2 of convolution kernels at ranks by variational Bayes.

Reads the path of an .npz of kernels [outputs, inputs, ...kernel] from the command line. For each line on standard input all
kernels are factorised once; the answer is a line of JSON: seconds, ranks, and each kernel's relative error. Ranks are by the global
analytic solution of Nakajima et al. 2013 in numpy and scipy, of the unfoldings' singular values; the factors by tensorly's partial_tucker.
"""

import json
import sys
import time

import numpy as np
import tensorly
from scipy.optimize import minimize_scalar
from tensorly.decomposition import partial_tucker

kernels = dict(np.load(sys.argv[1]))


def evbmf_rank(matrix):
    y = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    l, m = y.shape
    alpha = l / m
    tau = 2.5129 * np.sqrt(alpha)
    threshold = (1 + tau) * (1 + alpha / tau)
    s2 = np.linalg.svd(y, compute_uv=False) ** 2
    after = min(int(np.ceil(l / (1 + alpha))) - 1, l - 1)
    high = s2.sum() / (l * m)
    low = max(s2[after] / (m * threshold), s2[after:].mean() / m)

    def energy(variance):
        x = s2 / (m * variance)
        z = x[x > threshold]
        c = z - (1 + alpha)
        t = (c + np.sqrt(c**2 - 4 * alpha)) / 2
        return np.sum(x - np.log(x)) + np.sum(np.log(t + 1) - t + alpha * np.log(t / alpha + 1))

    found = minimize_scalar(energy, bounds=(low, high), method="bounded")
    return max(1, int(np.sum(s2 > m * found.x * threshold)))


print(json.dumps({"tensorly": tensorly.__version__, "numpy": np.__version__}), flush=True)
for _ in sys.stdin:
    ranks, errors = {}, {}
    start = time.perf_counter()
    for name, kernel in kernels.items():
        outputs, inputs = kernel.shape[:2]
        by_output = kernel.reshape(outputs, -1)
        by_input = np.moveaxis(kernel, 1, 0).reshape(inputs, -1)
        rank = [evbmf_rank(by_output), evbmf_rank(by_input)]
        (core, factors), _ = partial_tucker(kernel, rank=rank, modes=[0, 1], init="svd")
        ranks[name] = rank
        errors[name] = (core, factors)
    seconds = time.perf_counter() - start
    for name, (core, factors) in errors.items():
        back = tensorly.tenalg.multi_mode_dot(core, factors, modes=[0, 1])
        errors[name] = float(np.linalg.norm(back - kernels[name]) / np.linalg.norm(kernels[name]))
    print(json.dumps({"seconds": seconds, "ranks": ranks, "errors": errors}), flush=True)
