"""Makes test/goldens/ops/model_ops.json: the ops of src/ops by torch in float64, with their gradients.

    python test/goldens/make/model_ops.py
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

torch.manual_seed(20261123)


def case(op, function, *shapes):
    inputs = [torch.randn(shape).double().requires_grad_() for shape in shapes]
    y = function(*inputs)
    dy = torch.randn(y.shape).double()
    grads = torch.autograd.grad(y, inputs, dy)
    flat = lambda t: {"shape": list(t.shape), "values": t.detach().flatten().tolist()}  # noqa: E731
    return {"op": op, "inputs": [flat(t) for t in inputs], "dy": flat(dy), "y": flat(y), "grads": [flat(g) for g in grads]}


def attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])


cases = [
    case("rmsNorm", lambda x, w: F.rms_norm(x, w.shape, w, 1e-6), (2, 3, 16), (16,)),
    case("swiglu", lambda g, u: F.silu(g) * u, (3, 17), (3, 17)),
    # Lengths that the chunks of queries divide, do not divide, and are more than.
    *[case("causalAttention", attention, *[(2, 3, length, 8)] * 3) for length in (12, 10, 3, 2)],
    # Two query heads for a key head; and so long that the backward pass computes the weights again.
    case("causalAttention", attention, (2, 4, 9, 6), (2, 2, 9, 6), (2, 2, 9, 6)),
    case("causalAttention", attention, (1, 2, 1027, 1), (1, 1, 1027, 1), (1, 1, 1027, 1)),
]
path = Path(__file__).parent.parent / "ops" / "model_ops.json"
path.parent.mkdir(exist_ok=True)
path.write_text(json.dumps(cases) + "\n")
print(path.stat().st_size, "bytes")
