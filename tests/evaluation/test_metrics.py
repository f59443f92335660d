"""Each metric equals values counted by hand, and its weighted mean does too."""

import numpy as np
import pytest

from minillm.data.encoding import Example
from minillm.errors import InputError
from minillm.evaluation.calibration import calibration_gaps
from minillm.evaluation.metrics import METRICS, check_labels, check_metrics
from minillm.evaluation.ngrams import distinct_shares, ngram_counts
from minillm.evaluation.responses import References, Responses
from minillm.evaluation.scoring import Values

REFERENCES = [("a red cat", "the cat"), ("blue ",), ("Blue",), ("",)]
EXAMPLES = [Example("", references, "", [1], [[0]]) for references in REFERENCES]
RESPONSES = Responses(
    texts=["the cat", "blue", "blue", ""],
    lengths=np.array([4, 3, 2, 1]),
    finished=np.array([True, False, True, True]),
    reverse_kl=np.array([2.0, 0.3, 0.6, 0.1]),
    references=References(
        np.array([-6.0, -1.0, -2.0, 0.0]),
        np.array([3, 1, 1, 1]),
        np.log(0.5 * np.array([[0.9, 0.1], [0.2, 0.8], [0.62, 0.38], [0.35, 0.65]])),
        np.array([0, 1, 0, 0]),
    ),
)
BY_HAND = {
    "rougeL": ([100, 100, 100, 0], 75.0),
    "exact_match": ([100, 100, 0, 100], 75.0),  # case matters, white space at the ends does not
    "distinct_1": ([100, 50, 50, 0], 75.0),  # the, cat, blue, blue: 3 of 4
    "distinct_2": ([100, 0, 0, 0], 100.0),
    "distinct_3": ([0, 0, 0, 0], 0.0),
    "distinct_4": ([0, 0, 0, 0], 0.0),
    "length": ([4, 3, 2, 1], 2.5),
    "unfinished": ([0, 1, 0, 0], 0.25),
    "empty": ([0, 0, 0, 1], 0.25),
    "reverse_kl": ([0.5, 0.1, 0.3, 0.1], 0.3),  # 3 nats over 10 tokens
    "lm_loss": ([2, 1, 2, 0], 1.5),  # 9 nats over 6 tokens
    "accuracy": ([100, 100, 100, 0], 75.0),
    # Bins (0.8, 0.9]: 0.1; (0.7, 0.8]: 0.2; (0.6, 0.7]: one right, one wrong, |0.38 - 0.65|.
    "ece": ([0.1, 0.2, -0.38, 0.65], 0.57 / 4),
}


# The metrics that an evaluation computes.
COMPUTED = {name: metric for name, metric in METRICS.items() if not metric.needs_judge}


def test_every_metric_has_values_counted_by_hand():
    assert BY_HAND.keys() == COMPUTED.keys() == METRICS.keys() - {"judge"}


@pytest.mark.parametrize("name", BY_HAND)
def test_values_and_mean(name):
    metric, (expected, mean) = METRICS[name], BY_HAND[name]
    values = metric.score(RESPONSES, EXAMPLES)
    assert values.dtype == np.float64
    assert values.tolist() == pytest.approx(expected)
    assert Values(values, metric.weights(RESPONSES)).mean() == pytest.approx(mean)


def test_values_of_a_part_equal_those_of_all_responses():
    """Each process of a run scores a share, unless a metric looks at all responses."""
    part = RESPONSES.select([2, 0])
    assert part.texts == ["blue", "the cat"] and len(RESPONSES.select([])) == 0
    for name, metric in COMPUTED.items():
        values = metric.score(part, [EXAMPLES[2], EXAMPLES[0]])
        same = values.tolist() == pytest.approx([BY_HAND[name][0][2], BY_HAND[name][0][0]])
        assert same or metric.looks_at_all, name
        assert len(metric.score(RESPONSES.select([]), [])) == 0, name


def test_without_a_teacher_and_gold_responses_only_what_needs_them_is_missing():
    plain = Responses(RESPONSES.texts, RESPONSES.lengths, RESPONSES.finished)
    missing = {
        name for name, m in COMPUTED.items() if m.score(plain.select([0, 1]), EXAMPLES[:2]) is None
    }
    needed = {name for name, m in COMPUTED.items() if m.needs_teacher or m.reads_references}
    assert missing == {"reverse_kl", "lm_loss", "accuracy", "ece"} == needed
    with pytest.raises(InputError, match="metrics: ece need label words"):
        check_labels(["rougeL", "ece"], {})
    check_labels(["rougeL", "ece"], {"0": "no", "1": "yes"})


def test_the_bins_of_the_calibration_error_have_their_upper_ends():
    confidences = np.array([0.0, 0.1, 0.11, 1.0])
    gaps = calibration_gaps(confidences, np.array([False, True, True, True]))
    assert gaps.tolist() == pytest.approx([0.0, 0.9, 0.89, 0.0])
    gaps = calibration_gaps(np.array([0.95, 0.95]), np.array([True, False]))
    assert gaps.tolist() == pytest.approx([-0.05, 0.95])


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_distinct_ngrams_are_the_share_of_the_whole_set(n):
    generator = np.random.default_rng(n)
    words = np.array(list("abcd"))
    texts = [" ".join(generator.choice(words, generator.integers(0, 9))) for _ in range(50)]
    ngrams = [
        tuple(text.split()[i : i + n]) for text in texts for i in range(len(text.split()) - n + 1)
    ]
    shares, counts = distinct_shares(texts, n), ngram_counts(texts, n)
    assert counts.sum() == len(ngrams)
    assert (shares * counts).sum() == pytest.approx(len(set(ngrams)))
    assert (shares[counts == 0] == 0).all() and (counts == 0).any()


def test_unknown_metrics_are_refused():
    with pytest.raises(InputError, match=r"--metric 'rouge'. Did you mean 'rougeL'\?.*exact_match"):
        check_metrics(["length", "rouge"], "--metric")
    with pytest.raises(InputError, match=r"evaluation.metrics is empty: name at least one of rou"):
        check_metrics([], "evaluation.metrics")
