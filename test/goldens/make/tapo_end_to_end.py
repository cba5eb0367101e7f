"""Makes test/goldens/tapo/end_to_end.{json,safetensors}: the gradient of TAPO's whole loss by the parameters of `tiny-a`, by
torch and transformers in float64, for two triplets with fixed responses, in the paper's form and in the released one.

    python test/goldens/make/tapo_end_to_end.py
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2_5_VLForConditionalGeneration

HERE = Path(__file__).resolve().parent.parent
KEPT = ("model.layers.0.", "model.layers.3.mlp", "model.norm", "visual.merger", "visual.blocks.0.attn.qkv")
GRID = [1, 4, 6]
PATCHES, TOKENS = 24, 6
GAMMA, ETA1, ETA2, LOW, HIGH, DUAL = 0.3, 0.05, 0.04, 0.2, 0.28, 3.0
gen = torch.Generator().manual_seed(20261124)


def released_name(name):
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")


def main():
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        HERE / "model/tiny-a", dtype=torch.float32, attn_implementation="eager"
    ).double()
    rotary = [m for m in model.modules() if hasattr(m, "inv_freq")]
    for m in rotary:  # tables as float32 has them
        m.inv_freq = m.inv_freq.float().double()
    prompts = [[3, 4, 5, 987] + [990] * TOKENS + [988, 7 + i, 8, 9] + [11] * i for i in range(2)]
    pixels = torch.randn(2, 3, PATCHES, 1176, generator=gen)
    lengths = [[5, 3, 6, 4], [2, 7, 4, 5]]
    responses = [[torch.randint(2, 900, (n,), generator=gen).tolist() for n in group] for group in lengths]
    rewards = [[1.0, 0.1, 0.0, 1.0], [0.1, 0.1, 1.0, 0.1]]
    shifts = [[[torch.randn(n, generator=gen) * s for n in group] for group in lengths] for s in (0.4, 0.6)]

    def log_probs(g, picture, response):
        ids = torch.tensor([prompts[g] + response])
        out = model(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels[g, picture].double(),
            image_grid_thw=torch.tensor([GRID]), mm_token_type_ids=(ids == 990).int(), use_cache=False)
        at = out.logits[0, len(prompts[g]) - 1:-1].log_softmax(-1)
        return at.gather(1, torch.tensor(response)[:, None])[:, 0]

    with torch.no_grad():  # as if by an earlier policy
        drawn_on = lambda variant, r: 0 if variant == "paper" or r < 2 else 1
        known = {v: [[(log_probs(g, drawn_on(v, r), x).float() + shifts[0][g][r],
                       log_probs(g, 2, x).float() + shifts[1][g][r]) for r, x in enumerate(responses[g])]
                     for g in range(2)] for v in ("paper", "released")}

    tensors, losses = {"pixels": pixels.contiguous()}, {}
    for variant in ("paper", "released"):
        model.zero_grad(set_to_none=True)
        micro = []  # a micro-batch a group: its tokens' mean; in the paper's form the mean over all tokens
        for g in range(2):
            r = torch.tensor(rewards[g], dtype=torch.float64)
            advantages = (r - r.mean()) / (r.std() + 1e-6)
            total, count = 0, 0
            for i, response in enumerate(responses[g]):
                lp = log_probs(g, drawn_on(variant, i), response)
                old, fixed = (x.double() for x in known[variant][g][i])
                neg = log_probs(g, 2, response) if variant == "paper" else fixed
                a = advantages[i]
                d = (lp - old).clamp(-20, 20)
                ratio = d.exp()
                clipped = d.clamp(torch.tensor(1 - LOW).log(), torch.tensor(1 + HIGH).log()).exp()
                pg = torch.maximum(-a * ratio, -a * clipped)
                pg = torch.minimum(pg, -a * DUAL) if a < 0 else pg
                e = (neg - lp).clamp(-20, 20)
                kl = (e.exp() - e - 1).clamp(-10, 10)
                total = total + (pg - GAMMA * kl - ETA1 * lp - ETA2 * neg).sum()
                count += len(response)
            micro.append((total, count))
        loss = sum(t for t, _ in micro) / sum(n for _, n in micro) if variant == "paper" else \
            sum(t / n for t, n in micro) / len(micro)
        loss.backward()
        losses[variant] = loss.item()
        for name, p in model.named_parameters():
            if released_name(name).startswith(KEPT):
                tensors[f"{variant}.{released_name(name)}"] = p.grad.float().contiguous()
        losses[f"{variant}.largest"] = max(p.grad.abs().max().item() for p in model.parameters() if p.grad is not None)
    save_file(tensors, HERE / "tapo/end_to_end.safetensors")
    numbers = {v: [[{"old": o.tolist(), "neg": n.tolist()} for o, n in group] for group in known[v]] for v in known}
    (HERE / "tapo/end_to_end.json").write_text(json.dumps({
        "prompts": prompts, "grid": GRID, "responses": responses, "rewards": rewards, "known": numbers, "losses": losses,
        "settings": {"gamma": GAMMA, "eta1": ETA1, "eta2": ETA2}}) + "\n")
    print(losses, sum(t.numel() for t in tensors.values()))


main()
