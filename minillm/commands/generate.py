"""`minillm generate`: responses of a model, to one prompt on screen or to a data set as jsonl."""

import json
import logging
import sys

from minillm.commands.model_folder import load_scored_model, resolve
from minillm.commands.prepare import make_model, start_accelerator
from minillm.config import Config
from minillm.data.encoding import encode
from minillm.data.records import Record
from minillm.data.tokenizers import load_tokenizer
from minillm.sampling.generate import generate, response_texts
from minillm.sampling.sampler import Decoding

log = logging.getLogger(__name__)


def generate_responses(folder: str, prompts: list[str], overrides: list[str]) -> None:
    """Print one JSON line for each prompt given, or for each input of the test split.

    Decodes with the first of `evaluation.seeds`; `evaluation.temperature=0` is greedy.
    """
    config, path, _ = resolve(folder, overrides)
    if prompts:
        start_accelerator(config)
        tokenizer = load_tokenizer(config.student.tokenizer or str(path))
        model = make_model(config, config.student, tokenizer)
        model.module.eval()
        records = [Record(instruction=prompt, references=("",)) for prompt in prompts]
        examples = encode(records, tokenizer, config.data).examples
    else:
        scored = load_scored_model(config, path)
        model, examples = scored.model, scored.examples[: config.evaluation.limit]
    settings = config.evaluation
    batches = generate(
        model,
        [example.prompt_ids for example in examples],
        decoding(config),
        settings.batch_size,
        settings.seeds[0],
    )
    texts: dict[int, str] = {}
    for indices, rollout in batches:
        texts |= dict(zip(indices, response_texts(model, rollout), strict=True))
    for i, example in enumerate(examples):
        line = {"prompt": example.prompt, "response": texts[i]}
        print(json.dumps(line, ensure_ascii=False), file=sys.stdout)


def decoding(config: Config) -> Decoding:
    """How `evaluation` asks to decode."""
    settings = config.evaluation
    return Decoding(
        config.data.max_response_length, settings.temperature, settings.top_k, settings.top_p
    )
