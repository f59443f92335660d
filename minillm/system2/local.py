"""A model of this project as a speaker, with the sampler that refills its rows."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minillm.config import DataConfig
from minillm.data.records import Record
from minillm.data.templates import prompt_text
from minillm.data.token_ids import encode_prompts
from minillm.models.language_model import LanguageModel
from minillm.sampling.generate import generate, response_texts
from minillm.sampling.sampler import Decoding
from minillm.system2.run import Call

log = logging.getLogger(__name__)


@dataclass
class LocalSpeaker:
    """Answers calls with a loaded model.

    Attributes:
        model: the model, in evaluation mode.
        data: the template of prompts, and the maximum length of a prompt in tokens.
        decoding: temperature and length of a response.
        batch_size: rows that are decoded at once.
        seed: seed of all random numbers.
        prompts: number of prompts so far.
        too_long: number of those that were over the maximum length. They are not read, and their
            response is empty.
        cut_off: number of responses so far that have the maximum length.
    """

    model: LanguageModel
    data: DataConfig
    decoding: Decoding
    batch_size: int
    seed: int
    prompts: int = field(default=0, init=False)
    too_long: int = field(default=0, init=False)
    cut_off: int = field(default=0, init=False)

    def respond(self, prompts: Sequence[str], keys: Sequence[str]) -> list[Call]:
        """One call per prompt; equal prompts and keys get equal responses."""
        texts = [rendered(prompt, self.data, self.model.tokenizer) for prompt in prompts]
        ids = encode_prompts(texts, self.model.tokenizer, self.data, self.data.template)
        calls = {i: Call(prompt, "", 0) for i, prompt in enumerate(prompts)}
        fitting = [i for i in calls if len(ids[i]) <= self.data.max_prompt_length]
        self.prompts += len(prompts)
        self.too_long += len(prompts) - len(fitting)
        batches = generate(
            self.model,
            ids,
            self.decoding,
            batch_size=self.batch_size,
            seed=self.seed,
            indices=fitting,
            numbers=[number_of(key) for key in keys],
        )
        for indices, rollout in batches:
            responses = response_texts(self.model, rollout.responses)
            for i, tokens, response in zip(indices, rollout.responses, responses, strict=True):
                calls[i] = Call(prompts[i], response, len(tokens))
                self.cut_off += len(tokens) >= self.decoding.max_length
        return [calls[i] for i in range(len(prompts))]

    def record(self) -> dict[str, Any]:
        """What is wrong with answers, for a file of scores."""
        return {"too_long_prompts": self.too_long, "cut_off_answers": self.cut_off}

    def log_usage(self) -> None:
        """Write what is wrong with answers to the log."""
        if self.too_long:
            log.warning("%d of %d prompts are longer than data.max_prompt_length=%d tokens. They "
                        "are not read, and their response is empty.",
                        self.too_long, self.prompts, self.data.max_prompt_length)  # fmt: skip
        if self.cut_off:
            log.warning("%d of %d responses have data.max_response_length=%d tokens, and may be "
                        "cut off.",
                        self.cut_off, self.prompts, self.decoding.max_length)  # fmt: skip


def rendered(prompt: str, data: DataConfig, tokenizer) -> str:
    """What the model reads: the prompt in the template of its data."""
    return prompt_text(Record(instruction=prompt, references=()), data.template, tokenizer)


def number_of(key: str) -> int:
    """A number from 0 to 2**64 - 1 that depends on the key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
