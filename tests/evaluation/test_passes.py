"""The forward passes that score responses."""

import numpy as np
import pytest

from minillm.evaluation import passes
from minillm.evaluation.passes import respond
from minillm.sampling.sampler import Decoding
from minillm.teachers import LocalTeacher
from tests.evaluation.test_frontier import EXAMPLES, LENGTH, MODEL
from tests.methods.test_losses import TEACHER


@pytest.mark.parametrize("rows", [1, 3])
def test_sums_do_not_depend_on_the_rows_of_a_pass(rows, monkeypatch):
    def sums():
        given = {"seed": 1, "batch_size": 8}
        return respond(MODEL, LocalTeacher(TEACHER), EXAMPLES * 3, Decoding(LENGTH), **given)

    expected = sums()
    monkeypatch.setattr(passes, "ROWS_OF_A_PASS", rows)
    found = sums()
    assert found.texts == expected.texts and len(set(expected.lengths)) > 2
    np.testing.assert_allclose(found.reverse_kl, expected.reverse_kl, rtol=1e-9)
