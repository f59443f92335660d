"""Opens what answers the calls of `minillm system2`: the model, or a server in its place."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

from minillm.commands.loading import load_frozen
from minillm.config import Config
from minillm.data.tokenizers import tokenizer_of
from minillm.runtime import start_accelerator
from minillm.sampling.sampler import Decoding
from minillm.system2.local import LocalSpeaker
from minillm.system2.run import Speaker
from minillm.system2.server import open_server
from minillm.system2.settings import Study


@contextmanager
def speaker_of(study: Study, config: Config, temperature: float) -> Iterator[Callable[[], Speaker]]:
    """A function that loads the speaker at its first call, and returns the same one at each call.

    Args:
        study: the settings of System 2. With `system2.server.model`, a server answers.
        config: the settings of the model, whose tokenizer is used also with a server.
        temperature: 0 for the most likely tokens.
    """
    with ExitStack() as stack:

        @cache
        def load() -> Speaker:
            if study.config.server.model is None:
                speaker = _load_model(study, config, temperature)
                stack.callback(speaker.log_usage)
                return speaker
            tokenizer = tokenizer_of(config.student)
            return stack.enter_context(open_server(study.config, tokenizer, temperature))

        yield load


def _load_model(study: Study, config: Config, temperature: float) -> LocalSpeaker:
    start_accelerator(config)
    model = load_frozen(config, config.student)
    decoding = Decoding(config.data.max_response_length, temperature)
    return LocalSpeaker(
        model, config.data, decoding, config.evaluation.batch_size, study.config.seed
    )
