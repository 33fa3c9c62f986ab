"""PyTorch's side of train-step.mts. Reads a line `run N`, does N training steps, prints their times as JSON; `end` ends.

Usage: train_step.py NET contiguous|channels_last|compiled|compiled_channels_last THREADS
"""

import json
import os
import platform
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

net, layout, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(0)


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.f1, self.f2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.c2(F.max_pool2d(self.c1(x), 2, 2)), 2, 2)
        return self.f2(F.relu(self.f1(x.flatten(1))))


class Block(nn.Module):
    def __init__(self, c, out):
        super().__init__()
        self.stride = 1 if c == out else 2
        self.c1, self.b1 = nn.Conv2d(c, out, 3, self.stride, 1, bias=False), nn.BatchNorm2d(out)
        self.c2, self.b2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.pad = (out - c) // 2

    def forward(self, x):
        y = self.b2(self.c2(F.relu(self.b1(self.c1(x)))))
        if self.stride == 2:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
        self.blocks = nn.Sequential(*[Block(a, b) for a, b in zip(widths, widths[1:])])
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.b1(self.c1(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def mobilenet_v2(channels, stem, stage24):
    settings = [[1, 16, 1, 1], [6, 24, 2, stage24], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]
    model = torchvision.models.mobilenet_v2(num_classes=10, inverted_residual_setting=settings, dropout=0.0)
    model.features[0][0] = nn.Conv2d(channels, 32, 3, stem, 1, bias=False)
    return model


def shufflenet_v2():
    model = torchvision.models.shufflenet_v2_x1_0(num_classes=10)
    model.conv1[0] = nn.Conv2d(1, 24, 3, 2, 1, bias=False)
    return model


batch, shape, build = {
    "mobilenetv2-28": (50, (1, 28, 28), lambda: mobilenet_v2(1, 2, 2)),
    "mobilenetv2-cifar": (64, (3, 32, 32), lambda: mobilenet_v2(3, 1, 1)),
    "shufflenetv2-28": (50, (1, 28, 28), shufflenet_v2),
    "alexnet-64": (50, (3, 64, 64), lambda: torchvision.models.alexnet(num_classes=10, dropout=0.0)),
    "resnet20-cifar": (128, (3, 32, 32), ResNet20),
    "lenet5": (64, (1, 28, 28), LeNet5),
}[net]

model, x = build(), torch.randn(batch, *shape)
if layout.endswith("channels_last"):
    model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
y = torch.arange(batch) % 10
compiled = layout.startswith("compiled")
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=compiled)
model.train()
parameters = sum(p.numel() for p in model.parameters())


def loss_of(x, y):
    return F.cross_entropy(model(x), y)


if compiled:
    loss_of = torch.compile(loss_of)


def step():
    optimizer.zero_grad()
    loss = loss_of(x, y)
    loss.backward()
    optimizer.step()
    return float(loss)


def say(value):
    print(json.dumps(value), flush=True)


config = torch.__config__.show()
blas = next((part.split("=")[1] for part in config.replace("\n", ",").split(",") if "BLAS_INFO" in part), "?")
malloc = os.environ.get("LD_PRELOAD") or " ".join(platform.libc_ver())
say({"torch": torch.__version__, "blas": blas, "malloc": malloc, "parameters": parameters})
for line in sys.stdin:
    words = line.split()
    if not words or words[0] == "end":
        break
    times = []
    for _ in range(int(words[1])):
        start = time.perf_counter()
        loss = step()
        times.append((time.perf_counter() - start) * 1e3)
    say({"times": times, "loss": loss, "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
