"""SeqKD: teacher samples, their tokens, this token (Kim and Rush, arXiv 1606.07947).

The teacher's responses go to a jsonl file, batch by batch, under a first line that says what they
were made with. A run that finds the file whole uses it; one that finds a part continues there.
"""

import hashlib
import json
import logging
from pathlib import Path

from accelerate import PartialState
from tqdm import tqdm

from minillm.errors import InputError
from minillm.methods.pairs import Pair
from minillm.methods.setup import Setup
from minillm.methods.supervised import Supervised
from minillm.models.placement import at_work
from minillm.sampling.generate import generate, length_batches, response_texts
from minillm.sampling.sampler import Decoding

log = logging.getLogger(__name__)


def seqkd(setup: Setup) -> Supervised:
    """Cross-entropy on responses that the teacher sampled for the training prompts."""
    with PartialState().main_process_first():  # the others find the file whole
        return Supervised(setup, teacher_pairs(setup))


def teacher_pairs(setup: Setup) -> list[Pair]:
    """Every training prompt with `samples_per_prompt` responses of the teacher, from the file.

    Raises:
        InputError: the file was made with other settings.
    """
    method = setup.config.method
    prompts = [example.prompt_ids for example in setup.train] * method.samples_per_prompt
    batches = length_batches(prompts, method.generation_batch_size)
    made_with = {
        "teacher": setup.config.teacher.path,
        "data": setup.config.data.name,
        "prompts": len(prompts),
        "prompts_checksum": hashlib.sha256(json.dumps(prompts).encode()).hexdigest()[:16],
        "temperature": method.temperature,
        "max_response_length": setup.config.data.max_response_length,
        "batch_size": method.generation_batch_size,
        "seed": setup.seed("seqkd"),
    }
    path = Path(method.file)
    rows = _read(path, made_with)
    done = 0
    while done < len(batches) and sum(map(len, batches[: done + 1])) <= len(rows):
        done += 1
    rows = rows[: sum(map(len, batches[:done]))]
    if done == len(batches):
        log.info("SeqKD: %d responses of the teacher read from %s", len(rows), path)
    else:
        log.info("SeqKD: the teacher writes %d responses to %s", len(prompts) - len(rows), path)
        missing = [i for batch in batches[done:] for i in batch]
        with at_work(setup.teacher):
            rows += _write(setup, path, made_with, rows, prompts, missing)
    return [(row["prompt_ids"], row["response_ids"]) for row in rows]


def _read(path: Path, made_with: dict) -> list[dict]:
    """The file's whole rows; a last line cut short by an interruption is left out."""
    if not path.exists():
        return []
    advice = "Give method.file=OTHER_FILE, or remove the file to make it anew."
    try:
        # Only "\n" ends a line: JSON leaves the other line breaks of Unicode as they are.
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        header, *rows = [json.loads(line) for line in lines]
        changed = [key for key in made_with if header.get(key) != made_with[key]]
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} holds something else than teacher responses. {advice}") from error
    if changed:
        raise InputError(
            f"{path} holds teacher responses made with other settings ({', '.join(changed)} "
            f"differ). {advice}"
        )
    return rows


def _write(
    setup: Setup, path: Path, made_with: dict, rows: list[dict], prompts: list, missing: list[int]
) -> list[dict]:
    """Keep the `rows` that are there, whole batches only, and add the rest batch by batch."""
    method, teacher = setup.config.method, setup.teacher
    decoding = Decoding(setup.config.data.max_response_length, method.temperature)
    path.parent.mkdir(parents=True, exist_ok=True)
    new_rows = []
    aside = path.with_name(f".{path.name}.part")
    with aside.open("w", encoding="utf-8") as file:
        for row in [made_with, *rows]:
            print(json.dumps(row, ensure_ascii=False), file=file)
    aside.replace(path)
    with path.open("a", encoding="utf-8") as file:
        rollouts = generate(teacher, prompts, decoding, method.generation_batch_size,
                            made_with["seed"], missing)  # fmt: skip
        bar = tqdm(total=len(prompts), initial=len(rows), desc="teacher responses", disable=None)
        for indices, rollout in rollouts:
            texts = response_texts(teacher, rollout)
            for row, (i, text) in enumerate(zip(indices, texts, strict=True)):
                ids = rollout.sequences.response_ids[row][rollout.mask[row].bool()]
                new_rows.append({
                    "prompt_ids": prompts[i], "response_ids": ids.tolist(), "response": text
                })  # fmt: skip
                print(json.dumps(new_rows[-1], ensure_ascii=False), file=file)
            file.flush()
            bar.update(len(indices))
        bar.close()
    return new_rows
