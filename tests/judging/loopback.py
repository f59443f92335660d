"""A server with the API of OpenAI on loopback, which answers by a rule, and fails as it is told."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = re.compile(r"\[Answer of assistant \d\]\n(.*?)\n\[End of the answer", re.S)
# What a server does instead of answering. `nonsense` is an answer without scores.
FAILURES = ("429", "500", "slow", "drip", "cut", "html", "not_json", "no_choices", "nonsense")


def score_of(answer: str) -> int:
    """The score of an answer: from 1 to 10, by its length."""
    return 1 + len(answer) % 10


def by_rule(question: str) -> str:
    """The answer of a fair judge."""
    first, second = ANSWERS.findall(question)
    return f"{score_of(first)} {score_of(second)}\nThe lengths decide."


@dataclass
class Loopback:
    """The server, while it runs.

    Attributes:
        answer: the judge's answer to a question.
        fails: what happens to the request with a number, from 0, for a question; "" for an answer.
        seconds: how long an answer takes.
        usage: the numbers of tokens that the server gives, or None.
        requests: the bodies of all requests.
        times: when they were received, in seconds.
        keys: the headers `Authorization` of all requests.
        most_in_flight: the most requests at once.
    """

    answer: Callable[[str], str] = by_rule
    fails: Callable[[int, str], str] = lambda number, question: ""
    seconds: float = 0.0
    usage: dict | None = field(
        default_factory=lambda: {"prompt_tokens": 100, "completion_tokens": 10}
    )
    requests: list[dict] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    most_in_flight: int = 0

    def __post_init__(self) -> None:
        self._lock, self._in_flight, self._asked = threading.Lock(), 0, Counter()

    def __enter__(self) -> "Loopback":
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                loopback.handle(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # a client that no longer waits
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        question = body["messages"][0]["content"]
        with self._lock:
            self.requests.append(body)
            self.times.append(time.monotonic())
            self.keys.add(handler.headers["Authorization"])
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            # A question with a reminder is the same question.
            name = question.partition("An earlier reply")[0].strip()
            failure = self.fails(self._asked[name], name)
            self._asked[name] += 1
        try:
            time.sleep(self.seconds)
            self._reply(handler, question, failure)
        finally:
            with self._lock:
                self._in_flight -= 1

    def _reply(self, handler: BaseHTTPRequestHandler, question: str, failure: str) -> None:
        answer = "I like them both." if failure == "nonsense" else self.answer(question)
        text = json.dumps(
            {
                "model": "rule-2026",
                "choices": [{"message": {"role": "assistant", "content": answer}}],
                "usage": self.usage,
            }
        )
        echo = handler.headers["Authorization"]  # as some servers repeat the key in a message
        replies = {
            "429": (429, json.dumps({"error": {"message": f"too many requests of {echo}"}})),
            "500": (500, f"broken for {echo}"),
            "400": (400, json.dumps({"error": {"message": f"too long, {echo}"}})),
            "401": (401, json.dumps({"error": {"message": f"Incorrect API key: {echo}"}})),
            "404": (404, json.dumps({"detail": "no such model"})),
            "html": (200, f"<html>Log in, {echo}</html>"),
            "not_json": (200, text[:-9]),
            "no_choices": (200, json.dumps({"choices": [], "echo": echo})),
        }
        status, text = replies.get(failure, (200, text))
        if failure == "slow":
            time.sleep(3)
        handler.send_response(status)
        kind = "text/html" if failure == "html" else "application/json"
        handler.send_header("Content-Type", kind)
        if failure == "429":
            handler.send_header("Retry-After", "1")
        content = text.encode()
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if failure == "cut":
            handler.wfile.write(content[: len(content) // 2])
            handler.close_connection = True
        elif failure == "drip":  # a byte at a time, for longer than the timeout
            for byte in content:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(0.1)
        else:
            handler.wfile.write(content)
