"""The exposure bias equals expectations that are summed over all responses, and sums by hand."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from minillm.config import EvaluationConfig
from minillm.data.encoding import Example
from minillm.errors import InputError
from minillm.evaluation.evaluate import evaluate
from minillm.evaluation.exposure import Steps, exposure_bias, read_exposure_bias
from minillm.evaluation.exposure_sampling import sample_steps
from minillm.teachers import LocalTeacher
from tests.evaluation.test_frontier import EXAMPLES, MODEL
from tests.methods.test_losses import STUDENT, TEACHER, distributions, kl
from tests.tiny import all_responses, log_prob_table

LENGTH = 4
PROMPT = [2, 3]


@pytest.mark.parametrize("by_teacher", [False, True])
def test_steps_have_the_expectations_of_all_responses(by_teacher):
    """KL[p || q] of a step counts with the probability that the writer gives to its prefix."""
    responses = all_responses(PROMPT, 4, LENGTH)
    writer = TEACHER if by_teacher else STUDENT
    probabilities = log_prob_table(writer, responses).sum(-1).exp()[:, None]
    assert float(probabilities.sum()) == pytest.approx(1)
    log_q, log_p = distributions(responses)
    expected = {
        "kl": (probabilities * kl(log_p, log_q.detach()) * responses.response_mask).sum(0),
        "share": (probabilities * responses.response_mask).sum(0),
    }
    count = 3000
    steps = sample_steps(
        STUDENT, LocalTeacher(TEACHER), [Example("", (), "", PROMPT, [[0]])] * count,
        by_teacher=by_teacher, max_length=LENGTH, seeds=[1], batch_size=count,
    )  # fmt: skip
    for name, value in expected.items():
        values = getattr(steps, name)  # [N, L]
        errors = values.std(axis=0) / count**0.5 + 1e-12
        distance = np.abs(values.mean(axis=0) - value.numpy()) / errors
        assert (distance < 4).all(), (name, distance)
    assert steps.kl[:, 0] == pytest.approx(expected["kl"][0].item(), rel=1e-12)


def test_the_excess_is_that_of_sums_by_hand():
    student = Steps(np.array([[1.0, 3.0, 2.0], [1.0, 1.0, 0.0]]), np.array([[1, 1, 1], [1, 1, 0]]))
    teacher = Steps(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), np.array([[1, 1, 0], [1, 1, 0]]))
    bias = exposure_bias(student, teacher, 1)
    assert bias.student_error == [1, 3, 4] and bias.teacher_error == [1, 2, 2]
    assert bias.excess_error == [0, 50, 100]
    assert bias.student_share == [1, 1, 0.5] and bias.teacher_share == [1, 1, 0]
    # A resample has one of the two inputs, or both.
    assert bias.ci_low == [0, 0, 0] and bias.ci_high == [0, 100, 200]


def test_lengths_that_no_response_has_are_left_out_and_equal_models_have_no_excess():
    same = Steps(np.zeros((2, 5)), np.array([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0]]))
    bias = exposure_bias(same, same, 3)
    assert bias.excess_error == bias.ci_low == [None, None] and bias.teacher_error == [0, 0]
    assert read_exposure_bias(json.loads(json.dumps(asdict(bias))), "x") == bias


def test_an_evaluation_samples_both_models_with_its_seeds():
    settings = EvaluationConfig(seeds=[10], greedy=False, metrics=["length"], exposure_samples=3)
    teacher = LocalTeacher(TEACHER)
    bias = evaluate(MODEL, teacher, EXAMPLES, settings, LENGTH).exposure_bias
    parts = []
    for by_teacher in (False, True):
        steps = sample_steps(MODEL, teacher, EXAMPLES, by_teacher=by_teacher, max_length=LENGTH,
                             seeds=[10, 11, 12], batch_size=2)  # fmt: skip
        parts.append(steps.kl.sum(1).mean())
    assert bias.samples == 3 and len(bias.excess_error) == LENGTH
    assert bias.student_error[-1] == pytest.approx(parts[0], rel=1e-5)
    assert bias.excess_error[-1] == pytest.approx(100 * (parts[0] / parts[1] - 1), rel=1e-4)


@pytest.mark.parametrize("change", [{"ci_low": []}, {"samples": "3"}, {"excess_error": ["a", "b"]}])
def test_damaged_exposure_biases_are_refused(change):
    steps = Steps(np.ones((2, 2)), np.ones((2, 2)))
    content = asdict(exposure_bias(steps, steps, 1)) | change
    with pytest.raises(InputError, match=r"result.json: .*exposure_bias"):
        read_exposure_bias(content, "result.json")
