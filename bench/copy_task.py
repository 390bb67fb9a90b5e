"""The first segment shows a symbol, the last one is asked for it: which layers copy it over 16 segments?

    python bench/copy_task.py                          all seven layers, three seeds: some seven minutes of one core
    python bench/copy_task.py --layers sliding_window --window 8

One transformer block as it is in the model (local attention, the mixer behind its gates, the feed-forward layer) reads
49 tokens. Those of segment 0 hold one of 8 symbols, those of segment 15 a question, those between nothing but noise. A
linear map of what the block makes of the last segment's text is trained to name the symbol. Local attention sees its
own segment and a frame of the next: it can only guess, 1 in 8. The last line is one JSON object: the share of right
answers of each layer and seed.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from torch import Tensor, nn

from storyreel.geometry import TokenLayout
from storyreel.mixers import MIXER_NAMES, build_gated_mixer
from storyreel.models.transformer import StoryreelBlock

LAYOUT = TokenLayout(segments=16, text_tokens=2, rows=1, columns=1, mini_batch=8, latents_per_segment=1)
WIDTH, HEADS = 32, 2
SYMBOLS = 8
NOISE = 0.1
LEARNING_RATE = 5e-3
# What reaches the mixer is then as large as behind an attention that is trained. Mamba 2, which has no norm in front of
# its state, hardly learns from the small values of torch's own start.
GAIN = 2.0
BATCH, TESTED = 32, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", nargs="+", choices=MIXER_NAMES, default=MIXER_NAMES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--window", type=int, default=LAYOUT.total_tokens, help="tokens that a sliding window sees")
    options = parser.parse_args()
    result = {
        "steps": options.steps,
        "window": options.window,
        "tokens": LAYOUT.total_tokens,
        "torch": torch.__version__,
        "right": {},
    }
    for name in options.layers:
        began = time.perf_counter()
        shares = [learned(name, seed, options.steps, options.window) for seed in range(options.seeds)]
        seconds = (time.perf_counter() - began) / options.seeds
        print(f"{name:15}{seconds:7.1f} s a seed   right: {', '.join(f'{share:.3f}' for share in shares)}", flush=True)
        result["right"][name] = [round(share, 3) for share in shares]
    print(json.dumps(result))


def learned(name: str, seed: int, steps: int, window: int = LAYOUT.total_tokens) -> float:
    """The share of 512 new questions that a block with the mixer of that name answers rightly after `steps` steps."""
    torch.manual_seed(seed)
    chance = torch.Generator().manual_seed(1000 + seed)
    mixer = build_gated_mixer(name, WIDTH, HEADS, gate_init=0.5, mini_batch=LAYOUT.mini_batch, window=window)
    block = StoryreelBlock(WIDTH, HEADS, WIDTH // HEADS, 8, mixer=mixer)
    for linear in (block.attn1.to_v, block.attn1.to_out[0]):
        nn.init.orthogonal_(linear.weight, GAIN)
    answer = nn.Linear(WIDTH, SYMBOLS)
    question = LAYOUT.segment_slices()[-1][0].start

    def asked(x: Tensor) -> Tensor:
        return answer(block(x, torch.ones(len(x), 1, 8), LAYOUT, None)[:, question])

    optimiser = torch.optim.Adam([*block.parameters(), *answer.parameters()], lr=LEARNING_RATE)
    for _ in range(steps):
        x, symbols = examples(BATCH, chance)
        loss = nn.functional.cross_entropy(asked(x), symbols)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, symbols = examples(TESTED, chance)
    with torch.no_grad():
        return (asked(x).argmax(-1) == symbols).float().mean().item()


def examples(count: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Tokens `[N, T, C]` with a symbol in the first segment and a question in the last, and the symbols `[N]`."""
    symbols = torch.randint(SYMBOLS, (count,), generator=chance)
    x = NOISE * torch.randn(count, LAYOUT.total_tokens, WIDTH, generator=chance)
    told, asked = LAYOUT.segment_of() == 0, LAYOUT.segment_of() == LAYOUT.segments - 1
    x[:, told, :SYMBOLS] += nn.functional.one_hot(symbols, SYMBOLS)[:, None]
    x[:, asked, SYMBOLS] += 1
    x[:, ~(told | asked), SYMBOLS + 1] += 1
    return x, symbols


if __name__ == "__main__":
    main()
