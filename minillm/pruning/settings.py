"""Reads the settings of `minillm prune`, which have no section."""

from collections.abc import Sequence

from minillm.config import PruningConfig
from minillm.errors import InputError
from minillm.settings.section import read_section


def pruning_settings(words: Sequence[str]) -> PruningConfig:
    """The settings of what stays.

    Raises:
        InputError: a value is not allowed, or settings contradict each other.
    """
    settings = read_section(PruningConfig, words, "docs/pruning.md")
    _check_together(settings)
    return settings


def _check_together(settings: PruningConfig) -> None:
    """Refuse settings that contradict each other, or that keep everything."""
    if settings.keep and (settings.layers or settings.by != "even"):
        other = f"layers={settings.layers}" if settings.layers else f"by={settings.by}"
        raise InputError(
            f"keep={settings.keep} names the layers that stay, so {other} has no effect. Leave one "
            f"of them out."
        )
    if settings.by != "even" and not settings.layers:
        raise InputError(
            f"by={settings.by} chooses layers, but no number of layers is given. Add layers=NUMBER."
        )
    if not (
        settings.layers or settings.keep or settings.ffn or settings.heads or settings.kv_heads
    ):
        raise InputError(
            "nothing to prune is given. Add layers=NUMBER, keep=[1,2,...], ffn=NUMBER, "
            "heads=NUMBER or kv_heads=NUMBER."
        )
    if settings.reads_data and not settings.inputs:
        raise InputError(
            "inputs=0 is not allowed here: the choice of hidden units and heads, and of layers "
            "with by=angle or by=block, reads data. Set inputs to at least 1."
        )
