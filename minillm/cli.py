"""The command `minillm`: train, evaluate, generate, data, report. `commands/` holds the verbs.

A verb imports its libraries when it runs, so `--help` and errors appear without delay.
"""

import argparse
import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from minillm.errors import InputError, Stopped, TrainingError, WriteError
from minillm.version import version_text

OVERRIDES = """\
A setting is key=value. group=file selects a file of configs/:
  experiment=embedded/minillm   all settings of a run; further settings change some of them
  method=sft|kd|seqkd|gkd|imitkd|hidden_states|minillm
  data=embedded|jsonl|e2e|...   teacher.path=FOLDER  student.path=FOLDER
  method.divergence=jsd  method.parameters.beta=0.1  method.alpha=0.1  training.lr=1e-4
  output=FOLDER                 the folder of the run; overwrite=true replaces another run
  resume=auto                   continue from the newest checkpoint; or resume=CHECKPOINT
On many GPUs or machines: RUNTIME=zero2 NPROC=8 bash scripts/launch.sh VERB ... (see
docs/distributed.md). On one device no launcher is needed.
minillm/config.py explains all settings. A run writes all its settings to OUTPUT/config.yaml.

Exit status: 0 done, 2 wrong input, 3 training cannot continue, 74 a file could not be written,
75 stopped by SIGTERM or SIGUSR1, 130 stopped by Ctrl-C, 141 the reader of the output has ended (as
in `| head`). A stopped training writes a checkpoint, from which resume=auto continues.
"""
EXAMPLES = """\
  minillm train experiment=embedded/teacher output=runs/teacher
  minillm train experiment=embedded/minillm teacher.path=runs/teacher/best \\
      student.path=runs/init/best output=runs/minillm
  minillm evaluate runs/minillm
  minillm report runs --output results/mine
"""
# The disk or the quota is full, a file is too large, or the disk can only be read.
DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class ShowVersion(argparse.Action):
    """Prints version and git revision and ends the command. Other commands do not run git."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(version_text())
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The parser of all verbs and their arguments."""
    raw = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="minillm",
        description="Distil language models: MiniLLM (arXiv 2306.08543), GKD, KD, SeqKD, SFT.",
        epilog=f"{OVERRIDES}\nExamples:\n{EXAMPLES}\n`minillm VERB --help` explains a verb.",
        formatter_class=raw,
    )
    top.add_argument("--version", action=ShowVersion, nargs=0, help="version and git revision")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(
            name, help=text, description=text, epilog=OVERRIDES, formatter_class=raw
        )

    model = "the folder of a run, the folder of a causal LM, or a Hub name"
    train = verb("train", "Train a student (or a teacher) by a method.")
    evaluate = verb("evaluate", "Score models on a data set: ROUGE-L, exact match, reverse KL, ...")
    evaluate.add_argument("arguments", nargs="+", metavar="MODEL | key=value",
                          help=f"{model}; one or more, and settings")  # fmt: skip
    generate = verb("generate", "Print a model's responses as JSON lines.")
    generate.add_argument("model", help=model)
    generate.add_argument("--prompt", action="append", default=[], help="an instruction to answer "
                          "(repeatable); by default, the inputs of the test split")  # fmt: skip
    data = verb("data", "Show a data set as training reads it, and export it as jsonl.")
    data.add_argument("--export", metavar="FOLDER", help="write train, validation and test to it")
    for command in (train, generate, data):
        command.add_argument("overrides", nargs="*", metavar="key=value", help="settings")
    report = verbs.add_parser("report", help="Write tables and figures from result files.")
    report.add_argument("paths", nargs="+", type=Path, metavar="PATH",
                        help="runs, folders of runs, result files, or the results.json of an "
                        "earlier report")  # fmt: skip
    report.add_argument("--output", required=True, type=Path, help="folder, such as results/mine")
    report.add_argument("--title", help="heading of the table")
    report.add_argument("--metric", action="append", metavar="NAME", help="a metric for tables and "
                        "figures, such as exact_match (repeatable); by default rougeL")  # fmt: skip
    report.add_argument("--curve", action="append", metavar="NAME", help="a validation score for "
                        "training.png, such as loss (repeatable)")  # fmt: skip
    report.add_argument("--against", metavar="METHOD", help="the method to compare with all others;"
                        " by default minillm, or the best student without it")  # fmt: skip
    report.add_argument("--diversity", nargs="+", type=float, metavar="SHARE", help="diversities "
                        "at which frontiers are compared, such as 0.8 0.9; by default a few round "
                        "numbers that all methods have")  # fmt: skip
    return top


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line. Settings may follow options, which argparse alone refuses."""
    top = parser()
    parsed, rest = top.parse_known_args(arguments)
    settings = [text for text in rest if "=" in text and not text.startswith("-")]
    if len(settings) < len(rest) or (rest and not hasattr(parsed, "overrides")):
        top.error(f"unrecognized arguments: {' '.join(rest)}")
    if settings:
        parsed.overrides += settings
    return parsed


def run(arguments: argparse.Namespace) -> None:
    """Run one verb."""
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
                diversities=arguments.diversity,
            )
        )
        return
    if arguments.verb == "evaluate":
        from minillm.commands.evaluate import evaluate_models

        overrides = [text for text in arguments.arguments if "=" in text]
        models = [text for text in arguments.arguments if "=" not in text]
        if not models:
            raise InputError(
                "no model is given. Give the folder of a run, the folder of a model, or a Hub name."
            )
        evaluate_models(models, overrides)
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


def print_error(error: Exception | str) -> None:
    """Print an error once, even if all processes of a launcher raise it."""
    text, rank = f"minillm: {error}", os.environ.get("RANK", "0")
    if rank != "0":
        # If all processes fail, process 0 prints and exits, and the launcher ends the others during
        # this sleep. A process that failed alone, or on another machine, prints after the sleep.
        time.sleep(3 if os.environ.get("LOCAL_RANK") == "0" else 6)
        text += f" (process {rank})"
    print(text, file=sys.stderr)


def discard_output() -> None:
    """Discard the buffered standard output. Otherwise Python reports its error again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. OVERRIDES lists the exit statuses."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("minillm").setLevel(logging.INFO)
    try:
        run(parse(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in DISK_FAULTS:
            raise
        print_error(f"{error.filename or 'the output'} could not be written: {error.strerror}.")
        discard_output()
        sys.exit(WriteError.status)
    except (InputError, TrainingError, WriteError) as error:
        print_error(error)
        sys.exit(error.status)
    except Stopped as stop:
        if os.environ.get("RANK", "0") == "0":  # all processes stop together
            print(f"minillm: {stop}", file=sys.stderr)
        sys.exit(130 if stop.number == signal.SIGINT else 75)
    except KeyboardInterrupt:
        print("minillm: interrupted. The existing checkpoints are complete.", file=sys.stderr)
        sys.exit(130)
