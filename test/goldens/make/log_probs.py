"""Makes test/goldens/ops/log_probs.json: log-probabilities, entropies and their gradient by torch in float64.

    python test/goldens/make/log_probs.py
"""

import json
from pathlib import Path

import torch

torch.manual_seed(20261124)


def scores(logits, targets, coefficients):
    x = logits.detach().clone().requires_grad_()
    log_probs_RV = x.log_softmax(-1)
    log_probs = log_probs_RV.gather(-1, targets[:, None])[:, 0]
    entropies = -(log_probs_RV.exp() * log_probs_RV).sum(-1)
    (gradient,) = torch.autograd.grad((coefficients * log_probs).sum(), x)
    return {"log_probs": log_probs.detach(), "entropies": entropies.detach(), "d_logits": gradient}


def case(name, logits):
    rows, vocabulary = logits.shape
    logits = logits.float()
    targets = torch.randint(0, vocabulary, (rows,))
    targets[0] = logits[0].argmax()
    coefficients = torch.randn(rows)
    exact = scores(logits.double(), targets, coefficients.double())
    plain = scores(logits, targets, coefficients)
    return {
        "name": name,
        "shape": [rows, vocabulary],
        "logits": logits.flatten().tolist(),
        "targets": targets.tolist(),
        "coefficients": coefficients.tolist(),
        # float32's own distance from float64, the floor of a tolerance
        "distances": {key: (plain[key] - value).abs().max().item() for key, value in exact.items()},
        **{key: value.flatten().tolist() for key, value in exact.items()},
    }


certain = torch.randn(3, 40)
certain[:, 7] = 25
cases = [
    case("flat", torch.randn(5, 61) * 0.1),
    case("as a language model", torch.randn(4, 97) * 5),
    case("far from zero", torch.randn(3, 33) + 10_000),
    case("nearly certain", certain),
    case("wide", torch.randn(3, 40) * 60),
    case("one row", torch.randn(1, 12)),
]
path = Path(__file__).parent.parent / "ops" / "log_probs.json"
path.write_text(json.dumps(cases) + "\n")
print(path.stat().st_size, "bytes", {c["name"]: c["distances"] for c in cases})
