"""Statistical power: the smallest detectable difference, and the number of samples that a difference needs."""

from __future__ import annotations

import math

ALPHA = 0.05
POWER = 0.8


def detectable_difference(se: float, freedom: float, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """Return the smallest true difference that a two-sided t test finds with this power.

    δ = (t_{1-α/2} + t_{power}) · se, both at `freedom` degrees of freedom (Bloom 1995, Evaluation Review 19:547).
    NaN if se is not positive or freedom is below 1.
    """
    from scipy.special import stdtrit

    if not se > 0 or not freedom >= 1:
        return math.nan
    return float(stdtrit(freedom, 1 - alpha / 2) + stdtrit(freedom, power)) * se


def samples_to_detect(difference: float, sd: float, *, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Return the pairs that a two-sided paired t test needs to find a true mean difference; None for 0.

    sd: standard deviation of the differences. For clustered samples pass the standard deviation of cluster means; the
    result is then a number of clusters. statsmodels solves for it with the noncentral t distribution.
    """
    from statsmodels.stats.power import TTestPower

    if not sd > 0 or not abs(difference) > 0:
        return None
    effect = abs(difference) / sd
    test = TTestPower()
    # The solver needs at least three pairs.
    if test.power(effect, nobs=3, alpha=alpha) >= power:
        return 3
    return math.ceil(test.solve_power(effect_size=effect, alpha=alpha, power=power) - 1e-9)


def samples_for_width(half_width: float, n: int, target: float) -> int | None:
    """Return the samples that narrow an interval from `half_width` at n samples to `target`; widths shrink as 1/√n."""
    if not target > 0 or not half_width > 0:
        return None
    return math.ceil(n * (half_width / target) ** 2 - 1e-6)
