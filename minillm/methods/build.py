"""Builds a method from the settings: its sources and its losses.

The presets in `configs/method/` choose among the parts below, so a new method is a new preset. A
new source or loss is a class in `sources/` or `methods/`, and a line here. See
`docs/adding_a_method.md`.
"""

import logging

from minillm.config import Config, MethodConfig, MiniLLMConfig, TokenLossConfig
from minillm.errors import InputError
from minillm.methods.layer_matching import LayerMatching
from minillm.methods.loss import Loss
from minillm.methods.method import Method, Part
from minillm.methods.policy_gradient import PolicyGradient, objective_settings
from minillm.methods.token_loss import TokenLoss
from minillm.models.fit import check_tokenizers
from minillm.objectives.divergences import ForwardKL, build_divergence, parameter_names
from minillm.objectives.divergences.base import is_number
from minillm.objectives.terms import DivergenceTerm
from minillm.sources.pairs import PairSource, gold_pairs
from minillm.sources.plain_text import plain_text_source
from minillm.sources.rollouts import Rollouts
from minillm.sources.source import Source
from minillm.sources.student_written import StudentWritten
from minillm.sources.teacher_written import teacher_pairs
from minillm.teachers.build import teacher_temperature
from minillm.training.setup import Setup

log = logging.getLogger(__name__)

# The parts of a method: the sequences of its source, and plain text.
TOKENS, PLAIN_TOKENS = "tokens", "plain_tokens"


def build_method(setup: Setup) -> Method:
    """The method that the settings describe.

    Raises:
        InputError: the teacher cannot score the student's tokens, or a model does not have a layer
            that `method.layers` names.
    """
    settings = setup.config.method
    check_tokenizer(setup)
    _warn_of_shared_coins(settings)
    losses = build_losses(setup)
    parts = {TOKENS: Part(build_source(setup), losses[TOKENS])}
    if settings.lm_coef:
        source = plain_text_source(setup)
        parts[PLAIN_TOKENS] = Part(source, losses[PLAIN_TOKENS], settings.lm_coef)
    return Method(
        parts,
        student=setup.student,
        teacher=setup.teacher,
        micro_batch_size=setup.config.training.micro_batch_size,
        # The policy gradient compares q_new with q_old. Two dropout masks would change the ratio.
        dropout=not isinstance(settings, MiniLLMConfig),
    )


def build_source(setup: Setup) -> Source:
    """The source of the sequences on which the method trains, without plain text.

    Raises:
        InputError: the file of the teacher's responses was made with other settings.
    """
    settings = setup.config.method
    if isinstance(settings, MiniLLMConfig):
        rewards = objective_settings(settings).rewards
        return Rollouts(setup, computes_reverse_kl=rewards == "expected")
    pairs = teacher_pairs(setup) if settings.source == "teacher" else gold_pairs(setup.train)
    if settings.student_share or settings.student_share_end:
        steps = setup.config.training.total_steps(len(pairs))
        return StudentWritten(pairs, setup, steps=steps)
    return PairSource(pairs, setup, batch_size=setup.config.training.batch_size)


def build_losses(setup: Setup) -> dict[str, Loss]:
    """The loss of each part of the method.

    Raises:
        InputError: a model does not have a layer that `method.layers` names.
    """
    settings = setup.config.method
    if isinstance(settings, MiniLLMConfig):
        losses = {TOKENS: PolicyGradient(setup, objective_settings(settings))}
    else:
        losses = {TOKENS: _token_loss(setup, settings)}
    if settings.lm_coef:
        losses[PLAIN_TOKENS] = plain_text_loss(setup, settings.lm_kd_ratio)
    return losses


def check_method(config: Config) -> None:
    """Refuse a method that cannot be built, before any model is loaded.

    Raises:
        InputError: the teacher is missing or does not fit the method, or a divergence or one of its
            parameters is not allowed.
    """
    settings, teacher = config.method, config.teacher
    if teacher.top_k:
        _check_top_k(config)
    if settings.needs_teacher and teacher.kind == "local" and teacher.path is None:
        raise InputError(
            f"method={settings.name} needs a teacher: add teacher.path=FOLDER_OR_HUB_NAME."
        )
    if isinstance(settings, TokenLossConfig):
        divergences(settings)
    if isinstance(settings, MiniLLMConfig):
        _check_baseline(settings)


def _check_baseline(settings: MiniLLMConfig) -> None:
    """Refuse a baseline of responses to the same prompt if a prompt has one response."""
    repeats = settings.responses_per_prompt
    if objective_settings(settings).baseline == "prompt" and repeats == 1:
        raise InputError(
            f"method.baseline=prompt compares the responses to one prompt, but "
            f"method.responses_per_prompt={repeats}. Give 2 or more, or use "
            f"method.baseline=position."
        )


def _warn_of_shared_coins(settings: MethodConfig) -> None:
    """Warn of baselines and centres that depend on the coins of the response itself."""
    if not isinstance(settings, MiniLLMConfig):
        return
    objective = objective_settings(settings)
    if objective.compares_responses and 0 < settings.alpha < 1 and settings.coin_group != 1:
        log.warning(
            "method.baseline=%s and method.reward_center=%s are biased with method.alpha=%g, "
            "because responses share the coins of the mixture (docs/objective.md). Use "
            "method.alpha=0, method.coin_group=1, or none for both.",
            objective.baseline,
            objective.reward_center,
            settings.alpha,
        )


def _check_top_k(config: Config) -> None:
    """Refuse `teacher.top_k` if the method cannot use the k most likely tokens."""
    settings = config.method
    given = f"teacher.top_k={config.teacher.top_k} is not allowed here:"
    if isinstance(settings, MiniLLMConfig) or not settings.reads_distributions:
        raise InputError(
            f"{given} method={settings.name} does not read the teacher's distributions over given "
            f"responses, or needs the whole distribution. Set teacher.top_k=null."
        )
    temperature = teacher_temperature(config)
    if settings.lm_coef and settings.lm_kd_ratio and temperature != 1:
        raise InputError(
            f"{given} the k most likely tokens are stored for one temperature, but the divergence "
            f"reads the teacher at temperature {temperature}, and L_PT at temperature 1. Set "
            f"teacher.top_k=null, method.lm_kd_ratio=0, or the temperature to 1."
        )


def check_tokenizer(setup: Setup) -> None:
    """Refuse a teacher that cannot score the student's tokens, if the method needs the scores.

    Raises:
        InputError: the message says how the tokenizers differ.
    """
    if setup.config.method.scores_tokens and not setup.shared_tokenizer:
        for model in setup.teacher.models:
            check_tokenizers(setup.student.tokenizer, model.tokenizer)


def _token_loss(setup: Setup, settings: TokenLossConfig) -> TokenLoss:
    terms = {
        name: (
            DivergenceTerm(
                divergence,
                settings.student_temperature,
                settings.teacher_temperature,
                settings.temperature_squared,
            ),
            settings.kd_ratio * weight,
        )
        for name, (divergence, weight) in divergences(settings).items()
    }
    return TokenLoss(setup, 1 - settings.kd_ratio, terms, _layer_matching(setup, settings))


def divergences(settings: TokenLossConfig) -> dict:
    """The divergences of the loss with their weights, by name; none if `kd_ratio` is 0.

    Raises:
        InputError: a divergence or a parameter is unknown, or has a value that is not allowed.
    """
    if not settings.kd_ratio:
        return {}
    weights = _divergence_weights(settings.divergence)
    chosen, unused = {}, dict(settings.parameters)
    try:
        for name, weight in weights.items():
            parameters = settings.parameters
            if len(weights) > 1:  # each divergence gets only its own parameters
                names = parameter_names(name)
                parameters = {key: x for key, x in parameters.items() if key in names}
            chosen[name] = build_divergence(name, parameters), float(weight)
            unused = {key: x for key, x in unused.items() if key not in parameters}
    except ValueError as error:
        raise InputError(f"method.divergence={settings.divergence}: {error}") from error
    if unused:
        raise InputError(
            f"method.parameters={unused}: none of the divergences {', '.join(weights)} has such a "
            f"parameter. Remove it."
        )
    return chosen


def _divergence_weights(divergence: object) -> dict[str, float]:
    """The weights of `method.divergence`, which is one name or several names with weights.

    Raises:
        InputError: the setting has another form, or a weight is not above 0.
    """
    weights = {divergence: 1.0} if isinstance(divergence, str) else divergence
    if not (isinstance(weights, dict) and weights and all(map(_is_positive, weights.values()))):
        raise InputError(
            f"method.divergence={divergence} is not allowed: give one name, such as jsd, or "
            f"several names with weights above 0, such as {{forward_kl:0.7,reverse_kl:0.3}}."
        )
    return weights


def _is_positive(weight: object) -> bool:
    return is_number(weight) and weight > 0


def _layer_matching(setup: Setup, settings: TokenLossConfig) -> LayerMatching | None:
    if not settings.layers:
        return None
    return LayerMatching.build(
        setup.student,
        setup.teacher.models[0],
        pairs=settings.layers,
        distance=settings.layer_distance,
        weight=settings.layer_weight,
        seed=setup.seed("projections"),
    )


def plain_text_loss(setup: Setup, ratio: float) -> TokenLoss:
    """The loss L_PT on plain text: (1 - ratio) * cross-entropy + ratio * forward KL."""
    terms = {"forward_kl": (DivergenceTerm(ForwardKL()), ratio)} if ratio else {}
    return TokenLoss(setup, 1 - ratio, terms, metric="plain_text")
