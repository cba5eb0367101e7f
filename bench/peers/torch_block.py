"""The peer of bench/block.ts: the same decoder block in PyTorch, float32, on the CPU.

Reads lines `forward N` or `gradient N` from stdin and answers each with one line of JSON: the milliseconds of N runs.
`values` answers with the mean absolute values of the result and of all gradients. The tensors are in the folder given
as the only argument.
"""

import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

B, L, H, N, FF = 4, 256, 256, 8, 1024
SHAPES = {
    "x": (B, L, H), "dy": (B, L, H), "input_norm": (H,), "q": (H, H), "k": (H, H), "v": (H, H), "o": (H, H),
    "post_norm": (H,), "gate": (FF, H), "up": (FF, H), "down": (H, FF),
}  # fmt: skip

folder = sys.argv[1]
t = {name: torch.from_numpy(np.fromfile(f"{folder}/{name}.f32", np.float32).reshape(s)) for name, s in SHAPES.items()}
dy = t.pop("dy")
for tensor in t.values():
    tensor.requires_grad_()


def heads(x):
    return x.view(B, L, N, H // N).transpose(1, 2)


def block(x):
    h = F.rms_norm(x, (H,), t["input_norm"], 1e-6)
    q, k, v = (heads(F.linear(h, t[name])) for name in "qkv")
    a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    y = x + F.linear(a.transpose(1, 2).reshape(B, L, H), t["o"])
    h = F.rms_norm(y, (H,), t["post_norm"], 1e-6)
    return y + F.linear(F.silu(F.linear(h, t["gate"])) * F.linear(h, t["up"]), t["down"])


def forward():
    with torch.no_grad():
        return [block(t["x"])]


def gradient():
    y = block(t["x"])
    return [y, *torch.autograd.grad(y, list(t.values()), dy)]


def milliseconds(run):
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


runs = {"forward": forward, "gradient": gradient}
for line in sys.stdin:
    what, *count = line.split()
    if what == "values":
        answer = [float(r.detach().double().abs().mean()) for r in gradient()]
    else:
        answer = [milliseconds(runs[what]) for _ in range(int(count[0]))]
    print(json.dumps(answer), flush=True)
