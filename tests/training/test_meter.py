"""Means of metrics."""

from accelerate import Accelerator

from minillm.training.meter import Meter


def test_a_metric_that_counted_nothing_has_no_mean():
    meter = Meter()
    meter.add({"rollout/length": (0.0, 0), "loss": (3.0, 2)})
    meter.add({"rollout/length": (0.0, 0), "loss": (1.0, 2)})
    assert meter.take(Accelerator(cpu=True)) == {"loss": 1.0}
    assert meter.take(Accelerator(cpu=True)) == {}
