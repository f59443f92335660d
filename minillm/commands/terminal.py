"""Input and output of `minillm chat`, in a terminal or with pipes.

In a terminal, responses grow side by side. Otherwise they are printed one after the other, without
cursor codes, so that the output can be stored.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from minillm.errors import InputError

PROMPT = "> "
FRAME = 4  # columns of the frame of a panel
MARGIN = 4  # lines of a terminal that a growing response leaves free


def check_input() -> None:
    """Refuse a closed standard input.

    Raises:
        InputError: the message says what to do.
    """
    if sys.stdin is None:
        raise InputError(
            "chat reads messages from the standard input, which is closed. Start it in a terminal, "
            "or give it a file of messages: minillm chat MODEL < FILE."
        )


def check_line(line: str) -> None:
    """Refuse a line with bytes that are not text.

    Raises:
        InputError: the message says which byte is wrong.
    """
    try:
        line.encode()
    except UnicodeEncodeError as error:
        byte = ord(line[error.start]) - 0xDC00  # see `surrogateescape` in PEP 383
        raise InputError(
            f"the message is dropped, because its byte 0x{byte:02x} after {error.start} characters "
            f"is not {sys.stdin.encoding.upper()}. Write the message in this encoding."
        ) from error


def read_lines() -> Iterator[str]:
    """The lines of the standard input. In a terminal, the user edits them."""
    # Bytes that are not UTF-8 become characters that `check_line` finds, instead of an error that
    # would end the session.
    sys.stdin.reconfigure(errors="surrogateescape")
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        with suppress(ImportError):
            import readline  # noqa: F401  (gives `input` a history and keys)
    while True:
        try:
            line = input(PROMPT if is_terminal else "")
        except EOFError:
            if is_terminal:
                print()
            return
        if not is_terminal:
            print(PROMPT + line.encode(errors="replace").decode(), flush=True)
        yield line


class Screen:
    """Shows responses under the names of their models."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.is_terminal = self.console.is_terminal

    def note(self, text: str) -> None:
        """Print a message of the session."""
        self.console.print(text, style="dim")

    def show(self, responses: Sequence[Iterator[str]]) -> list[str]:
        """Show growing responses, token by token in turns; return the last text of each.

        In a terminal, Ctrl-C ends all responses, and their texts so far are kept.

        Raises:
            KeyboardInterrupt: Ctrl-C, if the output is not a terminal.
        """
        if self.is_terminal:
            return self._show_side_by_side(responses)
        texts = []
        for name, response in zip(self.names, responses, strict=True):
            print(f"[{name}]", flush=True)
            texts.append(_print_growing(response))
        return texts

    def _show_side_by_side(self, responses: Sequence[Iterator[str]]) -> list[str]:
        texts = [""] * len(responses)
        # While the responses grow, the screen shows their ends; then all is printed.
        with (
            Live(console=self.console, transient=True, refresh_per_second=12) as live,
            suppress(KeyboardInterrupt),
        ):
            growing = dict(enumerate(responses))
            while growing:
                for i, response in list(growing.items()):
                    text = next(response, None)
                    if text is None:
                        del growing[i]
                    else:
                        texts[i] = text
                live.update(self._panels(texts, self.console.height - MARGIN))
        self.console.print(self._panels(texts))
        return texts

    def _panels(self, texts: Sequence[str], height: int | None = None) -> Table:
        """The responses side by side, with at most their last `height` lines."""
        grid = Table.grid(expand=True)
        width = self.console.width // len(texts)
        for _ in texts:
            grid.add_column(ratio=1)
        panels = []
        for name, text in zip(self.names, texts, strict=True):
            lines = Text(text).wrap(self.console, max(1, width - FRAME))
            lines = lines[-max(1, height) :] if height else lines
            panels.append(Panel(Text("\n").join(lines), title=Text(name), title_align="left"))
        grid.add_row(*panels)
        return grid


def _print_growing(response: Iterator[str]) -> str:
    """Print what is new in each text; return the last text."""
    printed = text = ""
    for text in response:
        if text.startswith(printed):
            print(text[len(printed) :], end="", flush=True)
            printed = text
    print(flush=True)
    return text
