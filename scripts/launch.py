"""`accelerate launch` for scripts/launch.sh, with the exit status of the process that failed first.

After a signal, the exit status is that of a stopped `minillm train`. Accelerate alone always shows
a traceback and exits with status 1. A training of one process replaces the launcher, so it receives
the signals itself: Accelerate alone would end and leave the training.
"""

import argparse
import os
import signal
import sys
from subprocess import CalledProcessError

from accelerate.commands import launch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def replace_by_training(arguments: argparse.Namespace) -> None:
    """Run the training of one process in place of the launcher."""
    command, environment = launch.prepare_simple_launcher_cmd_env(arguments)
    sys.stdout.flush()
    os.execvpe(command[0], command, environment)


launch.simple_launcher = replace_by_training
try:
    launch.main()
except ChildFailedError as error:
    rank, failure = error.get_first_failure()
    is_signal = failure.exitcode < 0
    reason = failure.signal_name() if is_signal else f"exit status {failure.exitcode}"
    print(
        f"launch: process {rank} failed first ({reason}); all processes were stopped.",
        file=sys.stderr,
    )
    sys.exit(128 - failure.exitcode if is_signal else failure.exitcode)
except CalledProcessError as error:  # of DeepSpeed on many machines, which has said what failed
    sys.exit(error.returncode if error.returncode > 0 else 128 - error.returncode)
except SignalException as error:
    sys.exit(130 if error.sigval == signal.SIGINT else 75)
