"""Makes test/goldens/ops/{attention,rotary}.json: both ops by torch in float64, with their gradients, and the
frequencies of rotary positions by torch in float32.

    python test/goldens/make/attention.py
"""

import json
from pathlib import Path

import torch

torch.manual_seed(20261124)
HIDDEN = -1e9


def flat(t):
    return {"shape": list(t.shape), "values": t.detach().flatten().tolist()}


def case(function, inputs, others):
    """`others` are inputs without a gradient."""
    inputs = [x.requires_grad_() for x in inputs]
    y = function(*inputs, *others)
    dy = torch.randn(y.shape).double()
    grads = torch.autograd.grad(y, inputs, dy)
    return {
        "inputs": [flat(t) for t in inputs],
        "others": [flat(t) for t in others],
        "dy": flat(dy),
        "y": flat(y),
        "grads": [flat(g) for g in grads],
    }


def attention(q, k, v, bias=None):
    group = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(group, dim=1) for x in (k, v))
    scores = q @ k.transpose(2, 3) / q.shape[3] ** 0.5
    return torch.softmax(scores if bias is None else scores + bias, dim=-1) @ v


def attention_case(batch, heads, key_heads, queries, keys, size, seen=None):
    """`seen`: how many of the keys each row of the batch sees, one at least."""
    shapes = [(batch, heads, queries, size), *[(batch, key_heads, keys, size)] * 2]
    others = []
    if seen is not None:
        hidden = torch.arange(keys)[None] >= torch.tensor(seen)[:, None]
        others = [torch.where(hidden, HIDDEN, 0.0).double()[:, None, None]]
    return case(attention, [torch.randn(shape).double() for shape in shapes], others)


def rotate(x, cos, sin):
    cos, sin = (torch.cat([t, t], dim=-1) for t in (cos, sin))
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin


def rotary_case(batch, tables, heads, length, size):
    angles = torch.randn(tables, 1, length, size // 2).double() * 10
    # What the op gets is float32, so that is what the reference gets.
    tables = [f(angles).float().double() for f in (torch.cos, torch.sin)]
    return case(rotate, [torch.randn(batch, heads, length, size).double()], tables)


def frequencies(theta, dim):
    values = 1.0 / (theta ** (torch.arange(0, dim, 2, dtype=torch.float) / dim))
    return {"theta": theta, "dim": dim, "values": values.tolist()}


def write(name, content):
    path = Path(__file__).parent.parent / "ops" / name
    path.write_text(json.dumps(content) + "\n")
    print(name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    write(
        "attention.json",
        [
            attention_case(2, 3, 3, 5, 5, 8),
            attention_case(2, 3, 3, 5, 7, 8, seen=[7, 4]),
            # Grouped queries; one query, as when a token is decoded.
            attention_case(2, 6, 2, 4, 4, 6),
            attention_case(3, 4, 1, 1, 9, 4, seen=[9, 1, 5]),
        ],
    )
    write(
        "rotary.json",
        {
            "rotations": [rotary_case(2, 1, 3, 5, 8), rotary_case(3, 3, 2, 4, 6)],
            # The vision tower's, the decoder's, and sizes that are not powers of two.
            "frequencies": [frequencies(*of) for of in ((1e4, 40), (1e6, 128), (1e4, 8), (1e4, 24))],
        },
    )
