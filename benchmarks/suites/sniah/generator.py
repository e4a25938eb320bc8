"""Generated S-NIAH samples: a key and a value, hidden in a haystack at one of RULER's 40 depths."""

from __future__ import annotations

from pathlib import Path

from benchmarks.sample import Sample, SampleInfo
from benchmarks.sources.draws import Draws
from benchmarks.sources.wordlists import word_lists
from benchmarks.suites.sniah.haystack import NOISE, PROSE, hide, material
from benchmarks.suites.sniah.prompt import HEAD, NEEDLE, QUERY, layout
from rlm.models.tokens import count_tokens
from rlm.prompt import Prompt

# The haystack and the value of each variant. The first three are RULER's; the fourth is not.
VARIANTS = {
    "single_1": (NOISE, "number"),
    "single_2": (PROSE, "number"),
    "single_3": (PROSE, "uuid"),
    "noise_uuid": (NOISE, "uuid"),
}
# Version 2: room for the output is kept free.
GENERATOR = "sniah-generated-2"
DEPTHS = 40
# A shorter prompt has no room for a haystack.
SHORTEST = 256
FOLDER = Path(__file__).parent


def generated_sample(
    info: SampleInfo, length: int, variant: str, index: int, seed: int, encoding: str, output_tokens: int
) -> Sample:
    """Generate the index-th sample of a variant.

    Its prompt is filled with complete sentences up to `length` tokens minus `output_tokens`.
    """
    haystack, kind = VARIANTS[variant]
    draws = Draws(seed, "sniah", variant, length, index)
    key = "-".join(draws.pick(words) for words in word_lists(FOLDER / "keys.txt").values())
    value = magic_value(kind, draws)
    head, query = HEAD.format(kind=kind), QUERY.format(kind=kind, key=key)
    context = hide(
        material(haystack, seed, encoding),
        NEEDLE.format(kind=kind, key=key, value=value),
        depth_percent(length, index, seed),
        draws,
        after="\n" + query,
        budget=length - output_tokens - count_tokens(head + "\n", encoding),
        encoding=encoding,
    )
    return Sample(info, Prompt(context, query, layout(head)), value)


def depth_percent(length: int, index: int, seed: int) -> int:
    """Return the needle's depth in percent: one of RULER's 40 even depths, in an order with spread-out prefixes."""
    first = Draws(seed, "depth", length).below(DEPTHS)
    step = _SPREAD[(first + index) % DEPTHS]
    return (200 * step + DEPTHS - 1) // (2 * (DEPTHS - 1))


# Bit reversal, so that each half, quarter and eighth of the depths occurs early.
_SPREAD = sorted(range(DEPTHS), key=lambda i: f"{i:06b}"[::-1])


def magic_value(kind: str, draws: Draws) -> str:
    """Draw the value of a needle, a `number` of seven digits or a `uuid`."""
    if kind == "number":
        return str(draws.between(1_000_000, 9_999_999))
    digits = "".join(f"{draws.below(1 << 32):08x}" for _ in range(4))
    # The version and variant digits of a random uuid.
    digits = f"{digits[:12]}4{digits[13:16]}{'89ab'[draws.below(4)]}{digits[17:]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
