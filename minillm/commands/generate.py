"""`minillm generate`: prints a model's responses to prompts or to the test split."""

import logging
import sys
from functools import partial

from accelerate import PartialState

from minillm.commands.loading import make_model
from minillm.commands.model_folder import load_scored_model, resolve, with_chat_template
from minillm.compat.gloo import settle
from minillm.config import Config
from minillm.data.encoding import encode
from minillm.data.records import Record
from minillm.data.tokenizers import tokenizer_of
from minillm.errors import InputError
from minillm.files import json_lines
from minillm.models.broadcast import make_on_main, replicated
from minillm.processes import gathered, share
from minillm.progress import responses_shown
from minillm.runtime import start_accelerator
from minillm.sampling.generate import by_length, generate, response_texts
from minillm.sampling.sampler import Decoding

log = logging.getLogger(__name__)


def generate_responses(folder: str, prompts: list[str], overrides: list[str]) -> None:
    """Print one JSON line for each prompt, or for each input of the test split without prompts.

    The first of `evaluation.seeds` is used; `evaluation.temperature=0` is greedy decoding. Prompts
    for a model that no run has trained have the chat template of its tokenizer, if there is one.
    """
    # No teacher is needed, and the folder of the run's teacher may no longer exist.
    config, path, _ = resolve(folder, ["teacher.path=null", *overrides])
    if prompts:
        config = with_chat_template(config, path, overrides)
        device = start_accelerator(config).device
        tokenizer = tokenizer_of(config.student)
        made = make_on_main(partial(make_model, config, config.student, tokenizer))
        model = replicated(made, device)
        model.module.eval()
        is_ready = config.data.template == "ready"
        records = [
            Record(instruction=prompt, references=("",), prompt=prompt if is_ready else None)
            for prompt in prompts
        ]
        encoded = encode(records, tokenizer, config.data)
        if encoded.dropped_prompts:
            raise InputError(
                f"{encoded.dropped_prompts} of {len(prompts)} prompts are longer than "
                f"data.max_prompt_length={config.data.max_prompt_length} tokens. Shorten these "
                f"prompts, or raise the limit."
            )
        examples = encoded.examples
    else:
        scored = load_scored_model(config, path, with_teacher=False)
        model, examples = scored.model, scored.examples[: config.evaluation.limit]
    settings = config.evaluation
    prompt_ids = [example.prompt_ids for example in examples]
    batches = generate(
        model,
        prompt_ids,
        decoding(config),
        batch_size=settings.batch_size,
        seed=settings.seeds[0],
        indices=share(by_length(prompt_ids)),
    )
    responses = []
    with responses_shown("generate", len(examples)):
        for indices, rollout in batches:
            responses += zip(indices, response_texts(model, rollout.responses), strict=True)
    for i, text in sorted(gathered(responses)):
        line = {"prompt": examples[i].prompt, "response": text}
        if PartialState().is_main_process:
            print(json_lines([line]), end="", file=sys.stdout)
    settle()


def decoding(config: Config) -> Decoding:
    """The decoding that the `evaluation` settings specify."""
    settings = config.evaluation
    return Decoding(
        config.data.max_response_length, settings.temperature, settings.top_k, settings.top_p
    )
