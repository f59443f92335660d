"""Exact bias and variance of each choice in MiniLLM's gradient, for docs/estimators.md.

    python -m studies.estimators

replaces the tables in docs/estimators.md and writes docs/estimators.png. Nothing is sampled
(studies/estimator_quality.py), so every run gives the same numbers. It takes half a minute on one
core.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from benchmarks.documents import fill, table
from minillm.objectives import sequence_kl
from minillm.objectives.distributions import log_softmax
from minillm.objectives.divergences import ReverseKL
from minillm.sampling.sampler import mix
from studies.estimator_quality import (
    ALPHA,
    EXACT,
    LENGTH,
    PAIRS,
    PAPER,
    PER_STEP,
    USUAL_DISTANCE,
    VOCAB,
    later_rewards,
    pair,
    study,
)
from tests.objectives.tabular import Policies, Responses

DOCUMENT = Path(__file__).parents[1] / "docs" / "estimators.md"
DISTANCES = (0.25, 0.5, 1.0, 2.0)
LENGTHS = (2, 4, 6, 8, 10)  # with a vocabulary of 3, so that all responses can be enumerated
LONG = {"vocab": 3, "length": 10, "eos_logit": -5.0}
DRAWN = {  # in the figure: colour (Okabe and Ito), line style, marker
    "product": ("#000000", "-", "o"),
    "truncated_product, bound 1": ("#0072B2", "-", "v"),
    "product of eq. 5, rewards ahead not weighted": ("#56B4E9", "-", "s"),
    "per_step": ("#009E73", "--", "^"),
    "none (all weights 1)": ("#E69F00", ":", "D"),
    "product, length-normalised": ("#CC79A7", "-", "P"),
    "`variant: paper` (per_step, length-normalised, clipped)": ("#D55E00", "-", "X"),
}


def number(value: float) -> str:
    """Two significant digits without exponent; 0 only for rounding errors."""
    if value < 5e-10:
        return "0"
    if value < 5e-4:
        return "<0.001"
    return f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}"


def count(value: float) -> str:
    return f"{float(f'{value:.2g}'):.0f}" if value < 1e6 else "never"


def choices_table(alpha: float) -> str:
    qualities, _, _ = study(alpha=alpha)
    rows = [
        [name, number(q.bias), f"{q.cosine:.3f}", number(q.noise), count(q.break_even)]
        for name, q in qualities.items()
    ]
    header = ["weights and more", "bias", "cosine", "noise", "break-even"]
    return table(header, rows)


def later_rewards_table(**size: float) -> str:
    """Bias against both gradients, noise, and break-even, for ways to estimate later rewards."""
    rows = [
        [name, number(kl.bias), number(per_token.bias), f"{per_token.cosine:.3f}", number(kl.noise)]
        for name, (kl, per_token) in later_rewards(**size).items()
    ]
    header = ["later rewards", "bias, KL", "bias, KL per token", "cosine, KL per token", "noise"]
    return table(header, rows)


def distance_table(names: Sequence[str]) -> str:
    """Bias and noise by distance."""
    studies = [study(distance=distance) for distance in DISTANCES]
    header = ["", *(f"{kl:.2f} nats" for _, kl, _ in studies)]
    rows = []
    for name in names:
        of_distances = [qualities[name] for qualities, _, _ in studies]
        rows.append([name, *(f"{number(q.bias)} / {number(q.noise)}" for q in of_distances)])
    return table(header, rows)


def weights_table() -> str:
    """Effective share of responses, 1 / E[w_T^2], by length, if all steps are alike.

    For independent steps, E[w_T^2] = E[(q / p~)^2]^T.
    """
    lengths = (10, 50, 200, 512)
    rows = []
    for distance in DISTANCES:
        square = kl = 0.0
        for seed in range(PAIRS):
            policies = pair(Responses.all(VOCAB, LENGTH), distance, ALPHA, seed)
            log_q, log_p = log_softmax(policies.student), log_softmax(policies.teacher)
            ratios = (log_q - mix(log_p, log_q, ALPHA)).exp()
            square += float((log_q.exp() * ratios).sum(-1).mean()) / PAIRS
            kl += float(ReverseKL().value(log_q, log_p).mean()) / PAIRS
        shares = [number(square**-length) for length in lengths]
        rows.append([f"{kl:.3f} nats per token", *shares])
    return table(["", *(f"{length} tokens" for length in lengths)], rows)


def drift_table() -> str:
    """Bias against the gradient of the current student, which another student's samples estimate.

    The current student has moved from the sampling student towards the teacher.
    """
    responses = Responses.all(VOCAB, LENGTH)
    choices = {"product": EXACT, "per_step": PER_STEP, "`variant: paper`": PAPER}
    shares = (0.0, 0.05, 0.1, 0.2, 0.4)
    rows = []
    for name, settings in choices.items():
        biases = []
        for share in shares:
            total = 0.0
            for seed in range(PAIRS):
                policies = pair(responses, USUAL_DISTANCE, ALPHA, seed)
                current = policies.student + share * (policies.teacher - policies.student)
                _, exact = replace(policies, student=current).exact_gradient()
                mean = policies.expected_gradient(settings, current)
                total += float((mean - exact).norm() / exact.norm())
            biases.append(number(total / PAIRS))
        rows.append([name, *biases])
    return table(["of the way to the teacher", *(f"{x:.0%}" for x in shares)], rows)


def kl_table() -> str:
    """Estimators of KL[q || p], from samples of the student and from samples of the mixture."""
    responses = Responses.all(VOCAB, LENGTH)

    def exact_steps(policies: Policies) -> Tensor:
        log_q, log_p = (
            log_softmax(logits)[responses.rows] for logits in (policies.student, policies.teacher)
        )
        return (ReverseKL().value(log_q, log_p) * responses.mask).sum(-1)

    def tokens(estimator: Callable) -> Callable[[Policies], Tensor]:
        return lambda p: estimator(p.student_log_probs, p.teacher_log_probs, responses.mask)

    estimators = {name: tokens(getattr(sequence_kl, name)) for name in ("k1", "k2", "k3")}
    estimators["sum of `reverse_kl` over tokens"] = exact_steps
    rows = []
    for name, estimator in estimators.items():
        row = [name]
        for alpha in (0.0, ALPHA):
            bias = noise = 0.0
            for seed in range(PAIRS):
                policies = pair(responses, USUAL_DISTANCE, alpha, seed)
                kl, _ = policies.exact_gradient()
                values, probabilities = estimator(policies), policies.probabilities
                mean = (probabilities * values).sum()
                bias += float((mean - kl) / kl) / PAIRS
                noise += float((probabilities * (values - mean) ** 2).sum().sqrt() / kl) / PAIRS
            row += [f"{0.0 if abs(bias) < 5e-4 else bias:+.3f}", number(noise)]
        rows.append(row)
    header = ["", "bias, α = 0", "noise, α = 0", f"bias, α = {ALPHA}", f"noise, α = {ALPHA}"]
    return table(header, rows)


def figure() -> Figure:
    """Bias and noise by distance, and bias and noise by length."""
    by_distance = [study(distance=distance) for distance in DISTANCES]
    by_length = [study(**LONG | {"length": length}) for length in LENGTHS]
    panels = (
        ("bias", by_distance, 1, "KL[q || p] of a response (nats)"),
        ("noise", by_distance, 1, "KL[q || p] of a response (nats)"),
        ("bias", by_length, 2, "mean tokens of a response"),
        ("noise", by_length, 2, "mean tokens of a response"),
    )
    look = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
            "axes.grid": True, "grid.color": "#E6E6E6", "legend.frameon": False}  # fmt: skip
    with rc_context(look):
        drawn = Figure(figsize=(9, 7.4), layout="constrained")
        axes = drawn.subplots(2, 2).flatten()
        for ax, (quantity, studies, x_index, label) in zip(axes, panels, strict=True):
            for name, (color, dashes, marker) in DRAWN.items():
                x = [result[x_index] for result in studies]
                y = [getattr(result[0][name], quantity) for result in studies]
                label_of = name.replace("`", "")
                ax.plot(x, y, dashes, color=color, marker=marker, markersize=5, label=label_of)
            if x_index == 1:
                ax.set_xscale("log")
                ax.xaxis.set_major_formatter("{x:g}")
            ax.set_ylim(bottom=-0.01 if quantity == "bias" else 0)
            ax.set_xlabel(label)
            ax.set_title(f"{quantity}, relative to the exact gradient", loc="left", fontsize=10)
        drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return drawn


def main() -> None:
    torch.set_num_threads(1)
    tables = {
        "choices, alpha 0.2": choices_table(ALPHA),
        "choices, alpha 0.5": choices_table(0.5),
        "later rewards": later_rewards_table(),
        "later rewards, long": later_rewards_table(**LONG),
        "distances": distance_table(list(DRAWN)),
        "weights": weights_table(),
        "drift": drift_table(),
        "sequence KL": kl_table(),
    }
    _, kl, tokens = study()
    print(f"KL {kl:.3f} nats per response of {tokens:.2f} tokens")
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, content in tables.items():
        print(f"\n{name}\n{content}")
        text = fill(text, name, content)
    DOCUMENT.write_text(text, encoding="utf-8")
    content = io.BytesIO()
    figure().savefig(content, format="png", dpi=110)
    image = Image.open(content).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(DOCUMENT.with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
