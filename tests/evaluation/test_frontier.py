"""The frontier: entropies and KLs of the sampled distribution, pooled values, and its file."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from minillm.config import EvaluationConfig
from minillm.errors import InputError
from minillm.evaluation.evaluate import evaluate
from minillm.evaluation.frontier import Frontier, FrontierPoint, point_value, read_frontier
from minillm.evaluation.frontier_sampling import consecutive_seeds, frontier_terms
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.ngrams import distinct_shares
from minillm.models.forward import response_terms
from minillm.sampling.sampler import Decoding
from minillm.teachers import LocalTeacher
from tests.evaluation.toy import Letters
from tests.methods.test_losses import BATCH, STUDENT, TEACHER, TRAIN, distributions

LENGTH = 6
LETTERS = "_abc"  # of the token ids


def decode(rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
    return [" ".join(LETTERS[token] for token in ids if token) for ids in rows]


MODEL = replace(STUDENT, tokenizer=SimpleNamespace(batch_decode=decode, pad_token_id=0))
EXAMPLES = [replace(example, references=("a b a b a", "c")) for example in TRAIN]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.5])
def test_terms_are_of_the_sampled_distribution(temperature):
    targets = LocalTeacher(TEACHER).score(BATCH).targets
    terms = frontier_terms(Decoding(LENGTH, temperature))
    values = response_terms(STUDENT, BATCH, terms=terms, targets=targets)
    log_q, log_p = distributions(BATCH)
    log_q = (log_q / temperature).log_softmax(-1)
    expected = {
        "entropy": -(log_q.exp() * log_q).sum(-1),
        "reverse_kl": (log_q.exp() * (log_q - log_p)).sum(-1),
        "forward_kl": (log_p.exp() * (log_p - log_q)).sum(-1),
    }
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(values[name], (value * BATCH.response_mask).detach())


def test_top_p_has_the_entropy_of_the_nucleus_and_no_kl():
    terms = frontier_terms(Decoding(LENGTH, top_p=0.5))
    values = response_terms(STUDENT, BATCH, terms=terms)
    log_q, _ = distributions(BATCH)
    log_q = Decoding(LENGTH, top_p=0.5).log_probs(log_q)
    excluded = log_q == -torch.inf
    expected = -(log_q.exp() * log_q.masked_fill(excluded, 0.0)).sum(-1)
    assert values.keys() == {"entropy"} and excluded.any()
    torch.testing.assert_close(values["entropy"], (expected * BATCH.response_mask).detach())


@pytest.fixture(scope="module")
def evaluation():
    settings = EvaluationConfig(
        seeds=[10], frontier=[1.0, 0.2], frontier_top_p=[0.5], frontier_samples=3,
        metrics=["rougeL", "distinct_4", "reverse_kl"],
    )  # fmt: skip
    return evaluate(MODEL, LocalTeacher(TEACHER), EXAMPLES, settings, LENGTH)


def test_points_of_a_frontier(evaluation):
    frontier = evaluation.frontier
    assert frontier.samples == 3
    positions = [(point.temperature, point.top_p) for point in frontier.points]
    assert positions == [(0, 1), (0.2, 1), (1, 1), (1, 0.5)]
    greedy, sharp, full, nucleus = frontier.points
    for point in frontier.points:  # distinct_4 looks at all responses, so it has no place here
        assert point.values.keys() == {"rougeL", "length", "diversity", "ngrams", "self_bleu",
                                       "entropy", "reverse_kl", "forward_kl"}  # fmt: skip
    assert greedy.mean("entropy") == 0 and greedy.mean("self_bleu") == 100
    assert greedy.mean("rougeL") == evaluation.greedy.values["rougeL"].mean()
    assert greedy.mean("reverse_kl") is None and nucleus.mean("forward_kl") is None
    assert 0 < sharp.mean("entropy") < full.mean("entropy")
    # Greedy decoding has the diversity of three identical responses.
    texts = evaluation.greedy.responses.texts
    shares = [distinct_shares([text] * 3, 4).mean() for text in texts]
    assert greedy.array("diversity", len(TRAIN)) == pytest.approx(shares, rel=5e-3)
    weights = full.weights("reverse_kl", len(TRAIN))
    mean = np.average(full.array("reverse_kl", len(TRAIN)), weights=weights)
    assert full.mean("reverse_kl") == pytest.approx(mean, rel=5e-3) and mean > 0


def test_a_frontier_without_a_teacher_has_no_kl():
    settings = EvaluationConfig(seeds=[10], greedy=False, frontier=[1.0], metrics=["rougeL"])
    evaluation = evaluate(MODEL, None, EXAMPLES, settings, LENGTH)
    assert evaluation.greedy is None  # the greedy point of the frontier has its own pass
    greedy, point = evaluation.frontier.points
    assert greedy.is_greedy and greedy.mean("rougeL") is not None
    assert point.values["reverse_kl"] is None and point.values["forward_kl"] is None
    assert point.mean("entropy") > 0


def test_the_seeds_of_a_frontier():
    """They do not depend on seeds that an evaluation gets later."""
    assert consecutive_seeds([10], 2) == consecutive_seeds([10, 20, 30], 2) == [10, 11]


def test_a_frontier_survives_its_file(evaluation):
    frontier = evaluation.frontier
    content = json.loads(json.dumps(asdict(frontier)))
    assert read_frontier(content, len(TRAIN), "file") == frontier
    assert read_frontier(None, 3, "file") is None


def test_values_in_a_file_are_short():
    value = point_value(np.array([1 / 3, 2.0]), np.array([1.0, 3.0]), "ngrams")
    assert value.mean == pytest.approx((1 / 3 + 6) / 4)
    assert json.dumps(value.per_input) == "[0.333, 2]" and value.weights == "ngrams"
    constant = point_value(np.array([7.0, 7.0]))
    assert constant.per_input is None
    point = FrontierPoint(1.0, 1.0, {"rougeL": constant, "entropy": constant})
    assert point.array("rougeL", 2).tolist() == [7, 7] and point.weights("rougeL", 2) is None
    with pytest.raises(ValueError, match="only the mean of entropy"):
        point.array("entropy", 2)


def test_only_values_with_intervals_have_inputs(evaluation):
    full = evaluation.frontier.points[2]
    with_inputs = {name for name, value in full.values.items() if value.per_input}
    assert with_inputs <= {"diversity", "ngrams", "rougeL", "reverse_kl", "length", "self_bleu"}
    assert "reverse_kl" in with_inputs and full.values["entropy"].weights == "length"
    older = json.loads(json.dumps(asdict(evaluation.frontier)))
    values = older["points"][2]["values"]
    values["entropy"]["per_input"] = [0.1234] * len(TRAIN)
    values["rougeL"]["per_input"] = [12.3456] * len(TRAIN)
    read = read_frontier(older, len(TRAIN), "file").points[2].values
    assert read["entropy"].per_input is None and read["rougeL"].per_input == [12.3] * len(TRAIN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 1}, "1 samples and 1 points"),
        ({"points": []}, "2 samples and 0 points"),
        ({"points": [{"temperature": 1.0, "top_p": 1.0}]}, r"points\[0\].values' is missing"),
        ({"points": [{"temperature": 1.0, "top_p": 1.0, "values": {}}]}, "lacks diversity"),
    ],
)
def test_malformed_frontiers_are_refused(change, message):
    value = point_value(np.array([0.5, 0.7]))
    good = asdict(Frontier(2, [FrontierPoint(1.0, 1.0, {"diversity": value})]))
    assert read_frontier(good, 2, "file").samples == 2
    with pytest.raises(InputError, match=message):
        read_frontier(good | change, 2, "file")
    with pytest.raises(InputError, match="has 2 numbers, but there are 3 inputs"):
        read_frontier(good, 3, "file")


def test_a_metric_with_weights_keeps_them(monkeypatch):
    monkeypatch.setitem(METRICS, "letterCount", Letters())
    settings = EvaluationConfig(seeds=[10], frontier=[1.0], metrics=["letterCount"])
    point = evaluate(MODEL, None, EXAMPLES, settings, LENGTH).frontier.points[-1]
    assert point.values["letterCount"].weights == "letterCount_weights"
    assert point.mean("letterCount_weights") == pytest.approx(point.mean("length"))
