"""The source of GKD and ImitKD: given responses, and a share of student-written responses.

For each example, a coin decides whether the student writes the response. Algorithm 1 of Agarwal et
al. (arXiv 2306.13649) flips one coin per step; a coin per example has the same expectation and less
variance. The coins and the responses depend only on the seed and on the number of the example, not
on the number of processes. No gradient flows through the sampling.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from minillm.data.batches import PromptBatch
from minillm.processes import failing_together
from minillm.progress import responses_shown
from minillm.sampling.generate import uniforms_by_number
from minillm.sampling.rollout import Rollout
from minillm.sampling.sampler import Decoding, sample
from minillm.sources.pairs import Pair, PairSource, pad_pairs
from minillm.sources.source import SourceStep
from minillm.training.metrics import Metrics
from minillm.training.setup import Setup


class StudentWritten:
    """Yields pairs. The student writes each response with the probability lambda, the share.

    The share changes linearly from `student_share` at the first step to `student_share_end` at the
    last step. With `replay_size`, each process keeps its newest student-written pairs, at most
    `replay_size` of them. Instead of a new response, the step then uses a kept pair with the
    probability `replay_share` (a replay buffer as in DistiLLM, arXiv 2402.03898). The loss is not
    corrected for the age of a response.
    """

    steps_per_collection = 1

    def __init__(self, pairs: Sequence[Pair], setup: Setup, *, steps: int) -> None:
        self.setup = setup
        self.method = setup.config.method
        self.steps = steps
        self.given = PairSource(pairs, setup, batch_size=setup.config.training.batch_size)
        self.epoch_size = self.given.epoch_size
        self.state_is_shared = not self.method.replay_size
        self.replay: deque[Pair] = deque(maxlen=self.method.replay_size)

    def __iter__(self) -> Iterator[SourceStep]:
        for indices in self.given.indices:
            pairs = [self.given.pairs[i] for i in indices]
            numbers = self.given.indices.numbers
            coins = self._coins("who writes", numbers)
            written = [i for i, coin in enumerate(coins) if coin < self.share]
            metrics: Metrics = {"rollout/student_share": (len(written), len(pairs))}
            if self.share > 0:  # the same on all processes
                metrics |= self._write(pairs, numbers, written)
            yield SourceStep(pad_pairs(pairs, self.given.pad_id), metrics)

    @property
    def share(self) -> float:
        """The share lambda at the step whose examples were drawn last."""
        start, end = self.method.student_share, self.method.student_share_end
        if end is None or self.steps == 1:
            return start
        done = min((self.given.indices.batches - 1) / (self.steps - 1), 1.0)
        return start + (end - start) * done

    def _write(self, pairs: list[Pair], numbers: list[int], written: list[int]) -> Metrics:
        """Replace the pairs at the indices `written`, and return metrics of the new responses."""
        replayed: set[int] = set()
        if self.method.replay_share and len(self.replay):
            coins, places = (self._coins(name, numbers) for name in ("replay", "place in replay"))
            replayed = {i for i in written if coins[i] < self.method.replay_share}
            for i in replayed:
                pairs[i] = self.replay[int(places[i] * len(self.replay))]
        new = [i for i in written if i not in replayed]
        rollout = self._sample([pairs[i] for i in new], [numbers[i] for i in new])
        if rollout is None:
            return {"rollout/length": (0.0, 0), "rollout/unfinished_share": (0.0, 0)}
        for i, response in zip(new, rollout.responses, strict=True):
            pairs[i] = pairs[i]._replace(response_ids=response)
            if self.replay.maxlen:
                self.replay.append(pairs[i])
        return {
            "rollout/length": (rollout.sequences.tokens, len(new)),
            "rollout/unfinished_share": ((~rollout.finished).sum(), len(new)),
        }

    def _sample(self, pairs: list[Pair], numbers: list[int]) -> Rollout | None:
        """Responses of the current student. All processes must call this method together."""
        limit, device = self.setup.config.data.max_response_length, self.setup.device
        rollout = None
        with (
            self.setup.student.whole(rounded=True) as student,
            responses_shown("sampling", len(pairs) * self.setup.world),
            failing_together(FloatingPointError),
        ):
            student.module.eval()  # the loop enables dropout again for training
            if pairs:
                prompts = PromptBatch.pad([pair.prompt_ids for pair in pairs], student.pad_id)
                uniform = uniforms_by_number(self.setup.seed("sampling"), numbers, limit)
                rollout = sample(
                    student,
                    prompts.to(device),
                    Decoding(limit, self.method.temperature),
                    batch_size=self.method.sampling_batch_size,
                    uniform=uniform,
                )
        return rollout

    def _coins(self, purpose: str, numbers: list[int]) -> list[float]:
        """A random number in [0, 1) per example. It depends on seed, purpose and number only."""
        return uniforms_by_number(self.setup.seed(purpose), numbers, 1)[:, 0].tolist()

    def state_dict(self) -> dict[str, Any]:
        replay = [list(pair) for pair in self.replay]
        return {"given": self.given.state_dict(), "replay": replay}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.given.load_state_dict(state["given"])
        self.replay.extend(Pair(*pair) for pair in state["replay"])
