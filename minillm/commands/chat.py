"""`minillm chat`: talks with a student and its teacher side by side in a terminal.

`Speaker` is a model with its side of the conversation. `terminal.py` shows the responses.
"""

import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from minillm.commands.loading import completed
from minillm.commands.model_folder import resolve, with_chat_template
from minillm.commands.origins import is_hub_name
from minillm.commands.prune import check_one_process
from minillm.commands.terminal import Screen, check_input, check_line, read_lines
from minillm.config import Config, DataConfig, ModelConfig
from minillm.data.records import Message, Record
from minillm.data.templates import prompt_text
from minillm.data.token_ids import encode_prompts
from minillm.data.tokenizers import tokenizer_of
from minillm.errors import InputError
from minillm.folders import missing_folder
from minillm.models.language_model import LanguageModel, check_finite, load_model
from minillm.models.limits import length_limit
from minillm.runtime import autocast_dtype, start_accelerator
from minillm.sampling.sampler import Decoding
from minillm.sampling.stream import stream

log = logging.getLogger(__name__)

HELP = """\
/temperature 0.7   of the sampling; 0 is greedy
/top-p 0.9         share of the mass that is sampled from; 1 is all
/max-tokens 100    maximum length of a response
/seed 1            of the next responses; each further response of the session has the next seed
/greedy            the same as /temperature 0
/clear             forget the conversation
/help, /quit       Ctrl-C ends a response; Ctrl-C without a response, or Ctrl-D, ends the session"""


@dataclass(frozen=True)
class Sampling:
    """How responses are sampled."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 10

    def __post_init__(self) -> None:
        ranges = {
            "temperature": (self.temperature >= 0, "0 or more"),
            "top-p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "max-tokens": (self.max_tokens >= 1, "1 or more"),
            "seed": (0 <= self.seed < 2**32, "from 0 to 2**32 - 1"),
        }
        for name, (is_allowed, allowed) in ranges.items():
            if not is_allowed:
                value = getattr(self, name.replace("-", "_"))
                raise InputError(f"{name} {value} is not allowed: it must be {allowed}.")

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.max_tokens, self.temperature, top_p=self.top_p)

    def __str__(self) -> str:
        way = "greedy" if self.temperature == 0 else f"temperature {self.temperature:g}"
        top_p = f", top-p {self.top_p:g}" if self.top_p < 1 and self.temperature else ""
        return f"{way}{top_p}, up to {self.max_tokens} tokens, seed {self.seed}"


@dataclass
class Speaker:
    """A model with its side of the conversation. Only a chat template has several turns.

    Attributes:
        name: over its responses.
        model: the model.
        data: template and special tokens of its prompts.
        messages: the conversation so far, with the responses of this model.
    """

    name: str
    model: LanguageModel
    data: DataConfig
    messages: list[Message] = field(default_factory=list)

    def prompt_ids(self, text: str) -> list[int]:
        """The tokens of the conversation with a new message of the user.

        Raises:
            InputError: the chat template refuses the conversation.
        """
        tokenizer, template = self.model.tokenizer, self.data.template
        messages = (*self.messages, Message("user", text)) if template == "chat" else None
        record = Record(text, ("",), prompt=text, messages=messages)
        prompt = prompt_text(record, template, tokenizer)
        return encode_prompts([prompt], tokenizer, self.data, template)[0]

    def respond(self, prompt_ids: Sequence[int], sampling: Sampling) -> Iterator[str]:
        """Yield the response after each of its tokens."""
        ids: list[int] = []
        text = ""
        for token in stream(self.model, prompt_ids, sampling.decoding, sampling.seed):
            ids.append(token)
            text = self.model.tokenizer.decode(ids, skip_special_tokens=True).strip()
            # U+FFFD at the end may be the start of a character that has several tokens.
            yield text.rstrip("\ufffd")
        yield text

    def remember(self, text: str, response: str) -> None:
        """Add a turn to the conversation."""
        self.messages += [Message("user", text), Message("assistant", response)]

    def check_length(self, prompt_ids: Sequence[int], sampling: Sampling) -> None:
        """Refuse a conversation that leaves no room for a response.

        Raises:
            InputError: the message says what to do.
        """
        limit = length_limit(self.model.module.config)
        if len(prompt_ids) + sampling.max_tokens > limit:
            raise InputError(
                f"{self.name} reads at most {limit} tokens, but the conversation has "
                f"{len(prompt_ids)}, and a response up to {sampling.max_tokens}. /clear forgets "
                f"the conversation, /max-tokens shortens responses."
            )


def chat(
    model: str, other: str | None, overrides: Sequence[str], options: dict[str, float | int | None]
) -> None:
    """Answer lines of the standard input until its end, or until Ctrl-C.

    Args:
        model: the folder of a run, the folder of a model, or a Hub name.
        other: another model; None for the teacher of the run, if there is one.
        overrides: settings.
        options: values of `Sampling` by name; None for the default.

    Raises:
        InputError: a model cannot be loaded, an option is wrong, or the standard input is closed.
        SystemExit: Ctrl-C has ended the session.
    """
    check_one_process("chat")
    check_input()
    config = _resolve(model, overrides)
    given = {name: value for name, value in options.items() if value is not None}
    defaults = {"max_tokens": config.data.max_response_length, "seed": config.evaluation.seeds[0]}
    sampling = Sampling(**defaults | given)
    models = [(model, config, config.student)]
    if other:
        of_other = _resolve(other, overrides)
        models.append((other, of_other, of_other.student))
    elif teacher := _teacher(config):
        models.append((teacher.path, config, teacher))
    device = start_accelerator(config).device
    speakers = []
    for name, settings, source in models:
        loaded = load_speaker(settings, source, is_teacher=source is config.teacher)
        speakers.append(replace(loaded, name=name, model=loaded.model.to(device)))
    try:
        _session(speakers, sampling)
    except KeyboardInterrupt:
        print(flush=True)  # after the prompt, or after a part of a response
        sys.exit(128 + signal.SIGINT)


def _resolve(model: str, overrides: Sequence[str]) -> Config:
    config, path, _ = resolve(model, list(overrides))
    return with_chat_template(config, path, overrides)


def _teacher(config: Config) -> ModelConfig | None:
    """The teacher of the settings, if it is one model that still exists."""
    teacher = config.teacher
    if teacher.path is None:
        return None
    if not Path(teacher.path).is_dir() and not is_hub_name(teacher.path):
        log.warning("%s", missing_folder(teacher.path, "another model beside MODEL"))
        return None
    return teacher


def load_speaker(config: Config, source: ModelConfig, *, is_teacher: bool) -> Speaker:
    """Load a model, and choose the template of its prompts.

    A teacher has its own template, if that needs no reference.

    Raises:
        InputError: it cannot be loaded, or its weights are not finite.
    """
    tokenizer = tokenizer_of(source)
    data = config.data
    if is_teacher and data.teacher_template not in (None, "demonstration"):
        data = replace(data, template=data.teacher_template)
    model = load_model(source, tokenizer, config.runtime.attn_implementation)
    check_finite(model)
    model = completed(model, config, data.template)
    model.module.eval()
    return Speaker("", replace(model, autocast=autocast_dtype(config)), data)


def _session(speakers: Sequence[Speaker], sampling: Sampling) -> None:
    screen = Screen([speaker.name for speaker in speakers])
    templates = " and ".join(dict.fromkeys(speaker.data.template for speaker in speakers))
    screen.note(f"{sampling}; template {templates}. /help lists commands.")
    for line in read_lines():
        text = line.strip()
        try:
            check_line(text)
            if text in ("/quit", "/exit"):
                return
            if text.startswith("/"):
                sampling = _command(text, speakers, sampling, screen)
            elif text:
                _turn(text, speakers, sampling, screen)
                sampling = replace(sampling, seed=(sampling.seed + 1) % 2**32)
        except InputError as error:
            screen.note(str(error))
        except KeyboardInterrupt:  # before the first token
            if not screen.is_terminal:
                raise
            screen.note("The message is dropped.")


def _turn(text: str, speakers: Sequence[Speaker], sampling: Sampling, screen: Screen) -> None:
    prompts = [speaker.prompt_ids(text) for speaker in speakers]
    for speaker, prompt in zip(speakers, prompts, strict=True):
        speaker.check_length(prompt, sampling)
    responses = screen.show([
        speaker.respond(prompt, sampling) for speaker, prompt in zip(speakers, prompts, strict=True)
    ])  # fmt: skip
    for speaker, response in zip(speakers, responses, strict=True):
        speaker.remember(text, response)


def _command(
    text: str, speakers: Sequence[Speaker], sampling: Sampling, screen: Screen
) -> Sampling:
    """Carry out a command of the session; return how responses are sampled from now on.

    Raises:
        InputError: the command is unknown, or its value is wrong.
    """
    name, _, value = text[1:].partition(" ")
    kinds = {"temperature": float, "top-p": float, "max-tokens": int, "seed": int}
    if name == "help":
        screen.note(HELP)
    elif name == "clear":
        for speaker in speakers:
            speaker.messages.clear()
        screen.note("The conversation is forgotten.")
    elif name == "greedy" or name in kinds:
        try:
            number = 0.0 if name == "greedy" else kinds[name](value)
        except ValueError as error:
            raise InputError(f"/{name} needs a number, such as in /help.") from error
        key = "temperature" if name == "greedy" else name.replace("-", "_")
        sampling = replace(sampling, **{key: number})
        screen.note(str(sampling))
    else:
        raise InputError(f"unknown command /{name}. /help lists commands.")
    return sampling
