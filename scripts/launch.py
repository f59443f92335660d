"""`accelerate launch` for scripts/launch.sh, with the exit status of the process that failed first.

After a signal, the exit status is that of a stopped `minillm train`. Accelerate alone always shows
a traceback and exits with status 1.
"""

import signal
import sys
from subprocess import CalledProcessError

from accelerate.commands.launch import main
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

try:
    main()
except ChildFailedError as error:
    rank, failure = error.get_first_failure()
    is_signal = failure.exitcode < 0
    reason = failure.signal_name() if is_signal else f"exit status {failure.exitcode}"
    print(
        f"launch: process {rank} failed first ({reason}); all processes were stopped.",
        file=sys.stderr,
    )
    sys.exit(128 - failure.exitcode if is_signal else failure.exitcode)
except CalledProcessError as error:  # of one process, which has said what failed
    sys.exit(error.returncode if error.returncode > 0 else 128 - error.returncode)
except SignalException as error:
    sys.exit(130 if error.sigval == signal.SIGINT else 75)
