"""The command `minillm`: train, evaluate, generate, judge, chat, export, prune, report, and more.

`commands/` holds the verbs, and `arguments.py` sorts the words of a command line.

A verb imports its libraries when it runs, so `--help` and errors appear without delay.
"""
# PYTHON_ARGCOMPLETE_OK: argcomplete may start this command to complete a line.

import argparse
import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from minillm.arguments import Parser, expand_paths, sort_words
from minillm.completion import (
    complete,
    complete_experiment,
    complete_judge,
    complete_pruning,
    complete_sweep,
    complete_word,
)
from minillm.errors import (
    InputError,
    ServerError,
    Stopped,
    TrainingError,
    WriteError,
    unknown_name,
)
from minillm.settings.groups import GROUP_NAMES
from minillm.version import version_text

OVERRIDES = """\
A setting is key=value. group=file selects a file of configs/:
  experiment=embedded/minillm   all settings of a run; further settings change some of them
  method=sft|kd|seqkd|gkd|imitkd|hidden_states|minillm
  data=embedded|jsonl|e2e|...   teacher.path=FOLDER  student.path=FOLDER
  method.divergence=jsd  method.parameters.beta=0.1  method.alpha=0.1  training.lr=1e-4
  output=FOLDER                 the folder of the run; overwrite=true replaces another run
  resume=auto                   continue from the newest checkpoint; or resume=CHECKPOINT
  dry_run=true                  train, evaluate: check and print everything, write nothing
A text is taken as it is written (quotes around the whole text are removed, ~ is the home folder);
lists [1,2] and mappings {a:1} follow Hydra's grammar. A word with a / before its = is a folder.
Words and options may have any order.

On many GPUs or machines: BACKEND=zero2 NPROC=8 bash scripts/launch.sh VERB ... (see
docs/distributed.md). On one device no launcher is needed.
minillm/config.py explains all settings. A run writes all its settings to OUTPUT/config.yaml.

Exit status: 0 done, 2 wrong input, 3 training cannot continue, 69 the server of a judge does not
answer, 74 a file could not be written, 75 stopped by SIGTERM or SIGUSR1, 130 stopped by Ctrl-C, 141
the reader of the output has ended (as in `| head`). A stopped training writes a checkpoint, from
which resume=auto continues.
"""
PRUNING = """\
What stays of the model. At least one is given:
  layers=12        this number of decoder layers, evenly spaced; by=angle or by=block chooses them
                   by the angles between hidden states
  keep=[1,2,5,-1]  these layers; the first layer is 1, the last is -1
  ffn=768          hidden units of the feed-forward part of each layer
  heads=6          query heads of each layer
  kv_heads=2       key-value heads of each layer
by=angle, by=block, ffn, heads and kv_heads read inputs=64 inputs of the data, which data=... names.
With data, the forward KL from the model to the smaller model is printed. docs/pruning.md compares
the ways.

"""
JUDGING = """\
The server has the API of OpenAI. Its address and its key are in the environment variables
OPENAI_BASE_URL and OPENAI_API_KEY. The settings of this verb:
  judge.model=NAME         the judge, as the server names it; or the variable MINILLM_JUDGE_MODEL
  judge.against=RUN        also compare with the responses of this model
  judge.seeds=[10,20]      sampling seeds whose responses are judged; by default the first
  judge.limit=100          only the first inputs
  judge.max_calls=2000     limits, with judge.max_cost=NUMBER, judge.price_input=NUMBER and
                           judge.price_output=NUMBER per million tokens
docs/judge.md and `JudgeConfig` in minillm/config.py explain all of them.

"""
SWEEP = """\
  minillm sweep sweep=embedded/lr teacher.path=FOLDER student.path=FOLDER output=runs/lr
  minillm sweep experiment=embedded/sft student.path=FOLDER training.lr=1e-3,2e-3 output=runs/grid
The same command on another device or machine adds a worker, and continues a sweep that was stopped.
`minillm list sweeps` lists ready sweeps. docs/sweeps.md explains the settings sweep.KEY=value.

"""
SYSTEM2_STEPS = ("corpus", "generate", "filter", "train", "evaluate", "report")
SYSTEM2 = """\
The steps, of which each continues its interrupted work:
  minillm system2 generate MODEL system2=last_letters  answer the training questions in steps
  minillm system2 filter MODEL system2=last_letters    keep the answers that are consistent
  minillm system2 train MODEL system2=last_letters     train the model on these; method=gkd and
                           others learn from the same model behind its prompt of several steps
  minillm system2 evaluate MODEL system2=last_letters  score the test questions, in steps or, with
                           system2.program=direct, at once
  minillm system2 report FOLDER... --output FOLDER     tables and figures of tasks
  minillm system2 corpus output=FOLDER                 data for a small model with both ways
With system2.server.model=NAME, a server with the API of OpenAI answers in generate and evaluate.
Its address and its key are in the environment variables OPENAI_BASE_URL and OPENAI_API_KEY.
`minillm list system2` lists the tasks. docs/system2.md explains the settings system2.KEY=value.

"""
EXAMPLES = """\
  minillm train experiment=embedded/teacher output=runs/teacher
  minillm train experiment=embedded/minillm teacher.path=runs/teacher/best \\
      student.path=runs/init/best output=runs/minillm
  minillm evaluate runs/minillm
  minillm report runs --output results/mine
  minillm list                             # experiments, methods, data, models
  minillm show experiment=embedded/minillm # all settings, and where each was set
Completion in bash and zsh: eval "$(register-python-argcomplete minillm)"
"""
REPORTED = "results/paper"
DTYPES = ("float32", "bfloat16", "float16")
PREPARE, PAPER, REPORT_SWEEP = "data prepare", "report paper", "report sweep"
TWO_WORDS = (PREPARE, PAPER, REPORT_SWEEP)  # the other verbs have one word
# The disk or the quota is full, a file is too large, or the disk can only be read.
DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class ShowVersion(argparse.Action):
    """Prints version and git revision and ends the command. Other commands do not run git."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(version_text())
        parser.exit()


def parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser of the command, and the parsers of its verbs."""
    raw = argparse.RawDescriptionHelpFormatter
    top = Parser(
        prog="minillm",
        description="Distil language models: MiniLLM (arXiv 2306.08543), GKD, KD, SeqKD, SFT.",
        epilog=f"{OVERRIDES}\nExamples:\n{EXAMPLES}\n`minillm VERB --help` explains a verb.",
        formatter_class=raw,
    )
    top.add_argument("--version", action=ShowVersion, nargs=0, help="version and git revision")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(
        name: str, text: str, words: str, help_text: str, more: str = "", complete=complete_word
    ) -> argparse.ArgumentParser:
        command = verbs.add_parser(
            name, help=text, description=text, epilog=more + OVERRIDES, formatter_class=raw
        )
        action = command.add_argument("words", nargs="*", metavar=words, help=help_text)
        action.completer = complete
        return command

    model = "the folder of a run, the folder of a causal LM, or a Hub name"
    train = verb("train", "Train a student (or a teacher) by a method.", "key=value", "settings")
    train.add_argument("--multirun", "-m", action="store_true", help="train once per combination "
                       "of values that commas separate, such as training.lr=1e-3,2e-3; the same "
                       "as `minillm sweep` without sweep=NAME")  # fmt: skip
    sweep = verb("sweep", "Search for settings by many trainings, on any number of workers.",
                 "key=value", "sweep=NAME, sweep.KEY=value, settings of all trainings, and "
                 "settings that vary: key=a,b", SWEEP, complete_sweep)  # fmt: skip
    sweep.add_argument("--export-wandb", metavar="FILE.yaml", help="write the sweep as a file for "
                       "`wandb sweep` instead of running it")  # fmt: skip
    plan = verb("plan", "Estimate memory, work and time of a training without reading weights.",
                "key=value", "the settings of `minillm train`")  # fmt: skip
    _add_plan_options(plan)
    evaluate = verb(
        "evaluate", "Score models on a data set: ROUGE-L, exact match, reverse KL, ...",
        "MODEL | key=value", f"{model}; one or more, and settings",
    )  # fmt: skip
    generate = verb("generate", "Print a model's responses as JSON lines.", "MODEL | key=value",
                    f"{model}; and settings")  # fmt: skip
    generate.add_argument("--prompt", action="append", default=[], help="an instruction to answer "
                          "(repeatable); by default, the inputs of the test split")  # fmt: skip
    prune = verb("prune", "Make a smaller model from a model, to be trained as a student.",
                 "MODEL OUTPUT | key=value", f"{model}; the new folder; and settings",
                 PRUNING, complete_pruning)  # fmt: skip
    system2 = verb("system2", "Train a model to give at once the answers that it finds in steps.",
                   "STEP MODEL | key=value", f"{', '.join(SYSTEM2_STEPS)}; {model}; and settings",
                   SYSTEM2)  # fmt: skip
    system2.add_argument("--output", metavar="FOLDER", help="of the tables of report")
    verb("judge", "Let a language model score the responses of evaluated models.",
         "RUN | judge.key=value", "runs, folders of runs or result files; and settings",
         JUDGING, complete_judge)  # fmt: skip
    chat = verb("chat", "Talk with a student and its teacher, side by side.",
                "MODEL [OTHER] | key=value", f"{model}; another one, by default the teacher of the "
                "run; and settings")  # fmt: skip
    _add_chat_options(chat)
    export = verb("export", "Write a model as a Hugging Face folder with a model card.",
                  "MODEL OUTPUT | key=value", f"{model}; the new folder; and settings")  # fmt: skip
    export.add_argument("--dtype", choices=DTYPES, help="of the weights; by default, as they are")
    export.add_argument("--license", metavar="NAME", help="for the card, such as mit")
    export.add_argument("--push", metavar="OWNER/NAME", help="upload it to this new private "
                        "repository of the Hub, after `hf auth login`")  # fmt: skip
    data = verb("data", "Show a data set as training reads it, and export it as jsonl.",
                "key=value", "settings")  # fmt: skip
    data.add_argument("--export", metavar="FOLDER", help="write train, validation and test to it")
    prepare = verb(PREPARE, "Write the data of a training: prompts and responses as jsonl, plain "
                   "text as blocks.", "key=value", "the settings of `minillm train`")  # fmt: skip
    prepare.add_argument("--output", metavar="FOLDER", help="write the splits to it, without "
                         "prompts that are too long")  # fmt: skip
    prepare.add_argument("--workers", type=int, metavar="N", help="processes that tokenise plain "
                         "text; by default, one per core")  # fmt: skip
    prepare.add_argument("--drop-malformed", action="store_true", help="drop and count what cannot "
                         "be read; by default, it is refused")  # fmt: skip
    show = verb("show", "Print all settings, and where each was set.", "key=value", "settings")
    of_runs = (train, sweep, plan, evaluate, generate, prune, chat, export, data, prepare, show)
    for command in of_runs:
        command.add_argument("--config", metavar="FILE.yaml", help="settings of a file, such as "
                             "runs/x/config.yaml or a file of `minillm copy`; further settings "
                             "win. The same as experiment=./FILE.yaml")  # fmt: skip
    listing = verbs.add_parser("list", help="List experiments, methods, data and models.")
    listing.add_argument("group", nargs="?", choices=GROUP_NAMES, help="only this group")
    copy = verbs.add_parser("copy", help="Copy the settings of an experiment to a file to edit.")
    copy.add_argument("experiment", help="such as embedded/minillm").completer = complete_experiment
    copy.add_argument("file", metavar="FILE.yaml", help="a new file, for --config FILE.yaml")
    _add_report(verbs)
    return top, verbs.choices


def _add_plan_options(plan: argparse.ArgumentParser) -> None:
    plan.add_argument("--processes", action="append", type=int, default=[], metavar="N",
                      help="processes of the training (repeatable); by default 1, and up to "
                      "8")  # fmt: skip
    speed = plan.add_mutually_exclusive_group()
    speed.add_argument("--throughput", metavar="NUMBER|RUN", help="for an estimate of time: tokens "
                       "per second, or an earlier run with this speed")  # fmt: skip
    speed.add_argument("--measure", action="store_true", help="for an estimate of time: load the "
                       "models and time one step; nothing is written")  # fmt: skip


def _add_chat_options(chat: argparse.ArgumentParser) -> None:
    way = chat.add_mutually_exclusive_group()
    way.add_argument("--temperature", type=float, help="of the sampling; by default 1")
    way.add_argument("--greedy", action="store_const", const=0.0, dest="temperature",
                     help="take the most likely token, as with --temperature 0")  # fmt: skip
    chat.add_argument("--top-p", type=float, help="share of the mass that is sampled from")
    chat.add_argument("--max-tokens", type=int, help="of a response; by default "
                      "data.max_response_length")  # fmt: skip
    chat.add_argument("--seed", type=int, help="of the first response; by default the first of "
                      "evaluation.seeds")  # fmt: skip


def _add_report(verbs: argparse._SubParsersAction) -> None:
    report = verbs.add_parser("report", help="Write tables and figures from result files.")
    report.add_argument("words", nargs="*", metavar="PATH", help="runs, folders of runs, result "
                        "files, or the results.json of an earlier report")  # fmt: skip
    report.add_argument("--output", required=True, help="folder, such as results/mine")
    report.add_argument("--title", help="heading of the table")
    report.add_argument("--metric", action="append", metavar="NAME", help="a metric for tables and "
                        "figures, such as exact_match (repeatable); by default rougeL, and judge "
                        "if a result has it")  # fmt: skip
    report.add_argument("--curve", action="append", metavar="NAME", help="a validation score for "
                        "training.png, such as loss (repeatable)")  # fmt: skip
    report.add_argument("--against", metavar="METHOD", help="the method to compare with all others;"
                        " by default minillm, or the best student without it")  # fmt: skip
    report.add_argument("--diversity", nargs="+", metavar="SHARE", help="diversities at which "
                        "frontiers are compared, such as 0.8 0.9; by default a few round numbers "
                        "that all methods have")  # fmt: skip
    report.add_argument("--page", action="store_true", help="also write report.html: tables, "
                        "figures and the responses of the runs in one file")  # fmt: skip
    paper = verbs.add_parser(PAPER, help="Write the tables and figures of the paper from result "
                             "files.")  # fmt: skip
    paper.add_argument("words", nargs="*", metavar="PATH", help="runs, folders of runs, or result "
                       "files, of one family of models or several")  # fmt: skip
    paper.add_argument("--output", required=True, help="folder, such as results/gpt2")
    paper.add_argument("--reported", metavar="FOLDER", help="the figures that the paper reports; "
                       f"by default {REPORTED}, if there is this folder")  # fmt: skip
    of_sweep = verbs.add_parser(REPORT_SWEEP, help="Write tables and figures of a sweep.")
    of_sweep.add_argument("words", nargs="*", metavar="FOLDER", help="the folder of the sweep")
    of_sweep.add_argument("--output", required=True, help="folder, such as results/lr")
    of_sweep.add_argument("--title", help="heading of the tables")
    of_sweep.add_argument("--page", action="store_true", help="also write sweep.html: tables and "
                          "figures in one file")  # fmt: skip


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line. Models, settings and options may have any order.

    Raises:
        InputError: an option is unknown, or a verb has too few or too many models or files.
    """
    top, verbs = parsers()
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    first_words = " ".join(arguments[:2])
    if first_words in TWO_WORDS:
        arguments = [first_words, *arguments[2:]]
    verb = arguments[0] if arguments else ""
    if verb.startswith("-"):
        return top.parse_args(arguments)  # ends the command, with help, version or an error
    if not verb:
        raise InputError(f"no verb is given. Give one of {', '.join(verbs)}. See `minillm --help`.")
    if verb not in verbs:
        raise unknown_name("verb", verb, verbs)
    parsed = verbs[verb].parse_intermixed_args(arguments[1:], argparse.Namespace(verb=verb))
    expand_paths(parsed)
    if "words" in parsed:
        sort_words(parsed)
    return parsed


def run(arguments: argparse.Namespace) -> None:
    """Run one verb."""
    match arguments.verb:
        case "report":
            from minillm.reporting.report import write_report

            print(
                write_report(
                    [Path(path) for path in arguments.paths],
                    Path(arguments.output),
                    title=arguments.title,
                    metrics=arguments.metric,
                    curves=arguments.curve,
                    against=arguments.against,
                    diversities=arguments.diversity,
                    page=arguments.page,
                )
            )
        case "report paper":
            from minillm.reporting.paper.report import write_paper

            reported = arguments.reported or (REPORTED if Path(REPORTED).is_dir() else None)
            print(
                write_paper(
                    [Path(path) for path in arguments.paths],
                    Path(arguments.output),
                    reported and Path(reported),
                )
            )
        case "report sweep":
            from minillm.commands.sweep import report_sweep

            print(
                report_sweep(
                    Path(arguments.paths[0]),
                    Path(arguments.output),
                    title=arguments.title,
                    page=arguments.page,
                )
            )
        case "list":
            from minillm.commands.catalogue import print_catalogue

            print_catalogue(arguments.group)
        case "copy":
            from minillm.commands.copy_experiment import copy_experiment

            copy_experiment(arguments.experiment, Path(arguments.file))
        case "show":
            from minillm.commands.show import show_settings

            show_settings(arguments.overrides)
        case "evaluate":
            from minillm.commands.evaluate import evaluate_models

            evaluate_models(arguments.models, arguments.overrides)
        case "generate":
            from minillm.commands.generate import generate_responses

            generate_responses(arguments.models[0], arguments.prompt, arguments.overrides)
        case "prune":
            from minillm.commands.prune import prune_model

            prune_model(arguments.model, arguments.output, arguments.pruning, arguments.overrides)
        case "judge":
            from minillm.commands.judge import judge_models

            judge_models(arguments.paths, arguments.settings)
        case "system2" if arguments.step == "report":
            from minillm.system2.report import write_report as write_system2

            print(write_system2([Path(x) for x in arguments.models], Path(arguments.output)))
        case "system2":
            from minillm.commands.system2 import run_step

            run_step(arguments.step, arguments.models, arguments.overrides)
        case "chat":
            from minillm.commands.chat import chat

            names = ("temperature", "top_p", "max_tokens", "seed")
            chat(arguments.models[0], [*arguments.models, None][1], arguments.overrides,
                 {name: getattr(arguments, name) for name in names})  # fmt: skip
        case "export":
            from minillm.commands.export import export_model

            export_model(arguments.model, arguments.output, arguments.overrides,
                         dtype=arguments.dtype, license_name=arguments.license,
                         repository=arguments.push)  # fmt: skip
        case "train" if arguments.multirun:
            from minillm.commands.sweep import sweep

            sweep(arguments.overrides)
        case "train":
            from minillm.compose import load_config

            config = load_config(arguments.overrides)  # errors need no library of models
            from minillm.commands.train import train

            train(config)
        case "sweep" if arguments.export_wandb:
            from minillm.commands.sweep import export_to_wandb

            export_to_wandb(arguments.overrides, Path(arguments.export_wandb))
        case "sweep":
            from minillm.commands.sweep import sweep

            sweep(arguments.overrides)
        case "plan":
            from minillm.compose import load_config

            config = load_config(arguments.overrides)
            from minillm.commands.plan import plan_training

            plan_training(config, arguments.processes, arguments.throughput, arguments.measure)
        case "data":
            from minillm.compose import load_config

            config = load_config(arguments.overrides)
            from minillm.commands.data import show_data

            show_data(config, arguments.export)
        case "data prepare":
            from minillm.compose import load_config

            config = load_config(arguments.overrides)
            from minillm.commands.prepare import prepare_data

            prepare_data(config, arguments.output, workers=arguments.workers,
                         drops_malformed=arguments.drop_malformed)  # fmt: skip


def print_error(error: Exception | str) -> None:
    """Print an error once, even if all processes of a launcher raise it."""
    text, rank = f"minillm: {error}", os.environ.get("RANK", "0")
    if rank != "0":
        # If all processes fail, process 0 prints and exits, and the launcher ends the others during
        # this sleep. A process that failed alone, or on another machine, prints after the sleep.
        time.sleep(3 if os.environ.get("LOCAL_RANK") == "0" else 6)
        if getattr(error, "is_known_to_all", False):  # process 0 has printed it
            return
        text += f" (process {rank})"
    print(text, file=sys.stderr)


def discard_output() -> None:
    """Discard the buffered standard output. Otherwise Python reports its error again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. OVERRIDES lists the exit statuses."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    is_main = os.environ.get("RANK", "0") == "0"
    # All processes of a launcher log the same messages, so only the main process shows them.
    logging.getLogger("minillm").setLevel(logging.INFO if is_main else logging.ERROR)
    try:
        if "_ARGCOMPLETE" in os.environ:  # the shell asks for completions
            complete(parsers()[0])
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
    except (InputError, ServerError, TrainingError, WriteError) as error:
        print_error(error)
        sys.exit(error.status)
    except Stopped as stop:
        if is_main:  # all processes stop together
            print(f"minillm: {stop}", file=sys.stderr)
        sys.exit(130 if stop.number == signal.SIGINT else 75)
    except KeyboardInterrupt:
        print(
            "minillm: interrupted. Files that were already written are complete.", file=sys.stderr
        )
        sys.exit(130)


if __name__ == "__main__":
    main()
