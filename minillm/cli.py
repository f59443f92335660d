"""The command `minillm`: train, evaluate, generate, data, report. Thin: each verb is in commands/.

Libraries are imported by the verb that needs them, so that `--help` and errors come at once.
"""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from minillm.errors import InputError, Stopped, TrainingError
from minillm.version import version_text

OVERRIDES = """\
Settings are given as key=value; group=file picks a file of configs/:
  experiment=embedded/minillm   all settings of a run; what follows changes some
  method=sft|kd|seqkd|minillm   data=embedded|e2e|...
  teacher.path=FOLDER  student.path=FOLDER  output=FOLDER  overwrite=true
  method.alpha=0.1  training.lr=1e-4  training.steps=500  runtime.seed=2
  resume=auto                   a run goes on from its newest checkpoint; or resume=CHECKPOINT
On many GPUs or machines: RUNTIME=zero2 NPROC=8 bash scripts/launch.sh VERB ... (see
docs/distributed.md). On one device no launcher is needed.
All settings with their meaning are in minillm/config.py; a run writes all of its own to
OUTPUT/config.yaml.

Exit status: 0 done, 2 wrong input, 3 training cannot go on, 75 stopped by SIGTERM or SIGUSR1 and
130 by Ctrl-C; training writes a checkpoint then, from which resume=auto goes on.
"""
EXAMPLES = """\
  minillm train experiment=embedded/teacher output=runs/teacher
  minillm train experiment=embedded/minillm teacher.path=runs/teacher/best \\
      student.path=runs/init/best output=runs/minillm
  minillm evaluate runs/minillm
  minillm report runs --output results/mine
"""


class ShowVersion(argparse.Action):
    """Prints version and revision and ends the command; git is asked only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(version_text())
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Verbs and their arguments."""
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="minillm",
        description="Distil language models: MiniLLM (arXiv 2306.08543), KD, SeqKD, SFT.",
        epilog=f"{OVERRIDES}\nExamples:\n{EXAMPLES}\n`minillm VERB --help` says more.",
        formatter_class=raw,
    )
    top.add_argument("--version", action=ShowVersion, nargs=0, help="version and git revision")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(
            name, help=text, description=text, epilog=OVERRIDES, formatter_class=raw
        )

    model = "a run's folder, a causal LM folder, or a Hub name"
    train = verb("train", "Train a student (or a teacher) by a method.")
    evaluate = verb("evaluate", "Score models on a data set: ROUGE-L, exact match, reverse KL, ...")
    evaluate.add_argument("arguments", nargs="+", metavar="MODEL | key=value",
                          help=f"{model}; one or more, and settings")  # fmt: skip
    generate = verb("generate", "Print a model's responses as JSON lines.")
    generate.add_argument("model", help=model)
    generate.add_argument("--prompt", action="append", default=[], help="an instruction to answer "
                          "(repeatable); without it, the inputs of the test split")  # fmt: skip
    data = verb("data", "Show a data set as training sees it; export it as jsonl.")
    data.add_argument("--export", metavar="FOLDER", help="write train, validation and test there")
    for command in (train, generate, data):
        command.add_argument("overrides", nargs="*", metavar="key=value", help="settings")
    report = verbs.add_parser("report", help="Write tables and figures from result files.")
    report.add_argument("paths", nargs="+", type=Path, metavar="PATH",
                        help="runs, folders of runs, result files, or an earlier report's "
                        "results.json")  # fmt: skip
    report.add_argument("--output", required=True, type=Path, help="folder, such as results/mine")
    report.add_argument("--title", help="heading of the table")
    report.add_argument("--metric", action="append", metavar="NAME", help="a metric for tables and "
                        "figures, such as exact_match (repeatable); by default rougeL")  # fmt: skip
    report.add_argument("--curve", action="append", metavar="NAME", help="a validation score for "
                        "training.png, such as loss (repeatable)")  # fmt: skip
    report.add_argument("--against", metavar="METHOD", help="the method that is compared with the "
                        "others; by default minillm, or else the best student")  # fmt: skip
    return top


def run(arguments: argparse.Namespace) -> None:
    """Carry out one verb."""
    if arguments.verb == "report":
        from minillm.reporting.report import write_report

        print(
            write_report(
                arguments.paths,
                arguments.output,
                title=arguments.title,
                metrics=arguments.metric,
                curves=arguments.curve,
                against=arguments.against,
            )
        )
        return
    if arguments.verb == "evaluate":
        from minillm.commands.evaluate import evaluate_model

        overrides = [text for text in arguments.arguments if "=" in text]
        models = [text for text in arguments.arguments if "=" not in text]
        if not models:
            raise InputError("no model is given: name a run's folder, a model's, or a Hub name.")
        for model in models:
            evaluate_model(model, overrides)
        return
    if arguments.verb == "generate":
        from minillm.commands.generate import generate_responses

        generate_responses(arguments.model, arguments.prompt, arguments.overrides)
        return
    from minillm.compose import load_config

    config = load_config(arguments.overrides)
    if arguments.verb == "train":
        from minillm.commands.train import train

        train(config)
    else:
        from minillm.commands.data import show_data

        show_data(config, arguments.export)


def complain(error: Exception) -> None:
    """Print what is wrong: once, where all processes of a launcher found the same."""
    text, rank = f"minillm: {error}", os.environ.get("RANK", "0")
    if rank != "0":
        # As the first process ends, the launcher ends the others, in this sleep if they failed
        # alike. One that failed alone, or on a machine of its own, has its say after it.
        time.sleep(3 if os.environ.get("LOCAL_RANK") == "0" else 6)
        text += f" (process {rank})"
    print(text, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit status: see OVERRIDES."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("minillm").setLevel(logging.INFO)
    try:
        run(parser().parse_args(arguments))
    except (InputError, TrainingError) as error:
        complain(error)
        sys.exit(2 if isinstance(error, InputError) else 3)
    except Stopped as stop:
        if os.environ.get("RANK", "0") == "0":  # all have agreed on it
            print(f"minillm: {stop}", file=sys.stderr)
        sys.exit(130 if stop.number == signal.SIGINT else 75)
    except KeyboardInterrupt:
        print("minillm: interrupted; checkpoints that were written are whole", file=sys.stderr)
        sys.exit(130)
