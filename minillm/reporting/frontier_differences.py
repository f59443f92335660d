"""The differences of methods at equal diversity as Markdown, and how much of them is sharpening."""

from collections.abc import Sequence

import numpy as np

from minillm.errors import InputError
from minillm.evaluation.equal_diversity import (
    Curve,
    Sharpening,
    beside_greedy,
    difference_p_values,
    differences_at,
    is_beside_greedy,
    sharpening,
    temperatures_at,
)
from minillm.evaluation.frontier import WITH_INPUTS
from minillm.evaluation.metrics import METRICS, Metric
from minillm.reporting.comparisons import (
    AT_DIVERSITY,
    P_BOOTSTRAP,
    P_HEADER,
    Comparison,
    difference_cells,
    interval_text,
    p_legend,
    with_correction,
)
from minillm.reporting.differences import pairs_of
from minillm.reporting.frontiers import common_range, curve_of, points_of, round_values, samples_of
from minillm.reporting.groups import Group
from minillm.reporting.markdown import escape, in_words, table

Pair = tuple[Group, Group]
_WIDE = "†"  # marks a diversity between greedy decoding and the lowest temperature of a method


def differences_text(
    groups: Sequence[Group],
    metric: Metric,
    reference: str | None,
    diversities: Sequence[float] | None,
) -> tuple[list[str], list[Comparison]]:
    """The parts of the text: heading, table, legend, sentences; or why there is no comparison.

    The comparisons of the table are returned, too.

    Args and errors: as in `frontier_text`.
    """
    pairs = _comparable(groups, metric, reference)
    parts = [escape(text) for text in _not_compared(groups, pairs, metric, reference)]
    if diversities and not pairs:
        given = " ".join(f"{diversity:g}" for diversity in diversities)
        raise InputError(
            f"--diversity {given}: no two methods can be compared. Give results of "
            f"{reference or 'a method'} and of another method for the same inputs, with at least "
            f"two temperatures, with equal evaluation.frontier_samples, and with responses of four "
            f"words or more. {' '.join(parts)}".rstrip()
        )
    if not pairs:
        return parts, []
    comparisons, temperatures = _compare(pairs, metric, diversities)
    header = ["data", "methods", "diversity", f"{metric.label}, difference", P_HEADER,
              "temperatures"]  # fmt: skip
    rows = [
        [each.first.data, each.name, f"{each.diversity:g}", *difference_cells(each), of_both]
        for each, of_both in zip(comparisons, temperatures, strict=True)
    ]
    parts += [f"## {reference} against the others at equal diversity"]
    if rows:
        parts += [table(header, rows, texts=2)]
    parts += [_differences_legend(metric, rows)]
    texts = _sharpening_texts(pairs, metric)
    return parts + (["\n".join(f"- {text}" for text in texts)] if texts else []), comparisons


def _not_compared(
    groups: Sequence[Group],
    pairs: Sequence[tuple[Pair, Curve, Curve]],
    metric: Metric,
    reference: str | None,
) -> list[str]:
    """A sentence about pairs with frontiers that cannot be compared, if there are any."""
    if metric.name not in WITH_INPUTS:
        comparable = in_words(METRICS[name].label for name in WITH_INPUTS if name in METRICS)
        return [
            f"{metric.label} is not compared at equal diversity, because a frontier has only its "
            f"means. {comparable} can be compared."
        ]
    compared = [pair for pair, *_ in pairs]
    with_points = [group for group in groups if points_of(group)]
    names = [f"{_name(*pair)} ({pair[0].data})" for pair in pairs_of(with_points, reference)
             if pair not in compared]  # fmt: skip
    if not names:
        return []
    return [
        f"Not compared at equal diversity, because numbers of responses or inputs differ, or "
        f"because a method has fewer than two temperatures with {metric.label} and 4-grams: "
        f"{in_words(names)}."
    ]


def _comparable(
    groups: Sequence[Group], metric: Metric, reference: str | None
) -> list[tuple[Pair, Curve, Curve]]:
    """Pairs of the reference and another method, with their curves of the same inputs."""
    pairs = []
    for first, second in pairs_of(groups, reference):
        curves = [curve_of(group, metric.name) for group in (first, second)]
        if None in curves or samples_of(first) != samples_of(second):
            continue
        if len({curve.quality.shape[1] for curve in curves}) == 1:
            pairs.append(((first, second), *curves))
    return pairs


def _compare(
    pairs: Sequence[tuple[Pair, Curve, Curve]], metric: Metric, chosen: Sequence[float] | None
) -> tuple[list[Comparison], list[str]]:
    """One comparison per pair and diversity, and the temperatures of both methods there."""
    comparisons, texts, ranges = [], [], []
    for (first, second), *curves in pairs:
        same_data = [pair for pair in pairs if pair[0][0].data == first.data]
        diversities = chosen or _diversities(same_data, [((first, second), *curves)])
        ranges.append((first, second, common_range(curves, with_greedy=True)))
        temperatures = np.stack([temperatures_at(curve, diversities) for curve in curves], axis=1)
        wide = np.any([beside_greedy(curve, diversities) for curve in curves], axis=0)
        for diversity, interval, p, of_both, is_wide in zip(
            diversities, differences_at(*curves, diversities),
            difference_p_values(*curves, diversities), temperatures, wide, strict=True,
        ):  # fmt: skip
            if interval:
                comparisons.append(Comparison(first, second, metric, AT_DIVERSITY, interval, p,
                                              diversity=diversity))  # fmt: skip
                texts.append(f"{of_both[0]:.2f} and {of_both[1]:.2f}{_WIDE if is_wide else ''}")
    if chosen:
        _check_each_is_compared(chosen, comparisons, ranges)
    return with_correction(comparisons), texts


def _diversities(*choices: Sequence[tuple[Pair, Curve, Curve]]) -> list[float]:
    """Round diversities that all curves have, of the first choice of pairs that has such.

    Diversities between greedy decoding and the lowest temperature are used only if there are no
    others, because a straight line describes such a wide segment badly.
    """
    for with_greedy in (False, True):
        for pairs in choices:
            curves = [curve for _, *of_pair in pairs for curve in of_pair]
            common = common_range(curves, with_greedy)
            if common:
                return round_values(*common)
    return []


def _check_each_is_compared(
    chosen: Sequence[float],
    comparisons: Sequence[Comparison],
    ranges: Sequence[tuple[Group, Group, tuple[float, float] | None]],
) -> None:
    """Refuse a diversity at which no pair is compared."""
    for diversity in chosen:
        if not any(each.diversity == diversity for each in comparisons):
            allowed = "; ".join(
                f"{_name(first, second)} ({first.data}): "
                + (f"from {common[0]:.3f} to {common[1]:.3f}" if common else "no common diversity")
                for first, second, common in ranges
            )
            raise InputError(
                f"--diversity {diversity:g}: no two methods have this diversity in nearly all "
                f"resamples. Common diversities: {allowed}. Give numbers well inside a range, or "
                f"evaluate at more temperatures (evaluation.frontier)."
            )


def _differences_legend(metric: Metric, rows: Sequence[Sequence[str]]) -> str:
    text = (
        f"Difference in {metric.label} with the 95% paired bootstrap interval over inputs. Each "
        f"resample computes diversity and {metric.label} of every point again. Temperatures: of "
        f"both methods at this diversity; 0 is greedy decoding. Straight lines join the points."
    )
    if metric.higher_is_better:
        text += (
            f" If {metric.label} is a concave function of diversity, a straight line is below the "
            f"curve. So a method at one of its own temperatures is favoured slightly over a method "
            f"between two of its temperatures. Where the difference at the temperature of the "
            f"evaluations is split, this favours the first method. More temperatures, closer "
            f"together, make this smaller."
        )
    if metric.higher_is_better is False:
        text += f" A lower {metric.label} is better."
    text += f" {p_legend(P_BOOTSTRAP, len(rows))}"
    if any(row[-1].endswith(_WIDE) for row in rows):
        text += (
            f" {_WIDE} A method is between greedy decoding and its lowest temperature, where a "
            f"straight line describes the curve badly. Evaluate at lower temperatures."
        )
    if not rows:
        text = (
            "No two methods have the same diversity at any of their temperatures. Evaluate at more "
            "temperatures."
        )
    return escape(text)


def _sharpening_texts(pairs: Sequence[tuple[Pair, Curve, Curve]], metric: Metric) -> list[str]:
    """Two sentences for each pair about the difference at the temperature of the evaluation."""
    texts = []
    for (first, second), *curves in pairs:
        text = _sharpening_text(first, second, *curves, metric)
        if text:
            texts.append(escape(f"{first.data}, {_name(first, second)}: {text}"))
    return texts


def _sharpening_text(
    first: Group, second: Group, curve: Curve, baseline: Curve, metric: Metric
) -> str | None:
    """Two sentences, or why sharpening is not known; None if the evaluations were greedy."""
    temperatures = sorted({r.temperature for group in (first, second) for r in group.results})
    if len(temperatures) > 1:
        return (
            f"the evaluations have the temperatures {in_words(f'{t:g}' for t in temperatures)}, so "
            f"sharpening is not known."
        )
    (temperature,) = temperatures
    if temperature == 0:
        return None
    if not all(temperature in each.temperatures for each in (curve, baseline)):
        return (
            f"the frontiers have no common point at temperature {temperature:g}, so sharpening is "
            f"not known."
        )
    if is_beside_greedy(curve, baseline, temperature):
        return (
            f"{second.label} has the diversity of {first.label} at temperature {temperature:g} "
            f"only between greedy decoding and its lowest temperature, where a straight line "
            f"describes the curve badly, so sharpening is not known. Evaluate at lower "
            f"temperatures."
        )
    split = sharpening(curve, baseline, temperature)
    if split is None:
        return (
            f"the diversity of {first.label} at temperature {temperature:g} is outside the range "
            f"of {second.label} or close to its end, so sharpening is not known. Evaluate at more "
            f"temperatures, also above {temperature:g}."
        )
    return _in_sentences(first, second, temperature, split, metric)


def _in_sentences(
    first: Group, second: Group, temperature: float, split: Sharpening, metric: Metric
) -> str:
    """The difference at equal temperature, and how much of it is left at equal diversity.

    Only a lower temperature of the second method is called sharpening.
    """
    change = interval_text(split.sharpening, metric)
    changes = f"{change} is sharpening: {metric.label} of {second.label} changes by this too"
    if split.temperature >= temperature:
        changes = f"{metric.label} of {second.label} changes by {change}"
    is_sharper = split.temperature < temperature
    return (
        f"at temperature {temperature:g}, the difference in {metric.label} is "
        f"{interval_text(split.at_equal_temperature, metric)}. {'Of this, ' if is_sharper else ''}"
        f"{changes} when its temperature goes from {temperature:g} to {split.temperature:.2f}, "
        f"where it has the diversity {split.diversity:.3f} of {first.label}; "
        f"{interval_text(split.at_equal_diversity, metric)} remains at equal diversity."
    )


def _name(first: Group, second: Group) -> str:
    return f"{first.label} minus {second.label}"
