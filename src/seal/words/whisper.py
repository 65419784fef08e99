"""Whisper (Radford et al. 2022) by faster-whisper: sound to words with their times.

Its voice activity detector (Silero) comes first: what it takes for no speech is never decoded.
Nothing is sampled, so that the same sound gives the same words.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from seal.config import WhisperTranscribe
from seal.dependencies import dependency, onnxruntime
from seal.errors import BackendError, OptionError
from seal.types import Float32
from seal.weights import WHISPER, locate
from seal.words.cue import Cue, Transcriber, Transcript, Word, check_sound
from seal.words.loops import first_loop

_VERSION = 1
"""Raise it when the same options and weights give other words than before."""
# The thresholds of the authors: text that compresses better than this repeats itself, and words
# less likely than this, on average, are guesses.
_MOST_COMPRESSED = 2.4
_LEAST_LOG_PROBABILITY = -1.0
# Languages that are written without spaces between words.
_WITHOUT_SPACES = frozenset({"ja", "lo", "my", "th", "yue", "zh"})
_SHORTEST_RETRY_S = 1.0
"""A shorter rest after a loop is not heard again."""


class WhisperTranscriber(Transcriber):
    """A Whisper model of the hub or a folder, converted for CTranslate2.

    Raises BackendError if the extra or the weights are missing, or if the device is not there, and
    OptionError for a language that the model does not know.
    """

    def __init__(self, options: WhisperTranscribe) -> None:
        # The detector of voices is a network of ONNX Runtime, which is imported unwatched later.
        onnxruntime()
        self._library = dependency("faster-whisper", "speech").require(
            "hearing speech", "faster_whisper"
        )
        self._vad = dependency("faster-whisper", "speech").require(
            "hearing speech", "faster_whisper.vad"
        )
        weights = locate(options.weights, options.revision, WHISPER)
        device, index = _device(options.device)
        try:
            self._model = self._library.WhisperModel(
                str(weights.folder),
                device=device,
                device_index=index,
                compute_type="int8" if device == "cpu" else "float16",
                cpu_threads=_threads(),
                local_files_only=True,
            )
        # Damaged files and devices fail with errors of many kinds.
        except Exception as error:
            raise BackendError(
                f"{weights.folder} does not load as Whisper on {options.device!r}:"
                f" {' '.join(str(error).split())}"
            ) from error
        self._check_model(weights.folder.name)
        self._check_language(options.language)
        self._language = options.language
        self._beam = options.beam
        self.fingerprint = (
            f"whisper-{_VERSION} {weights.fingerprint} {options.language or 'any'} {options.beam}"
        )

    def _check_model(self, name: str) -> None:
        bands = len(self._model.feature_extractor.mel_filters)
        if bands != self._model.model.n_mels:
            raise BackendError(
                f"the Whisper model {name!r} takes {self._model.model.n_mels} bands of sound and"
                f" its folder describes {bands}: put its preprocessor_config.json there"
            )

    def _check_language(self, language: str | None) -> None:
        known = self._model.supported_languages
        if language is not None and language not in known:
            raise OptionError(
                f"this Whisper model does not know the language {language!r} (ISO 639-1);"
                f" valid: {', '.join(sorted(known))}"
            )

    def transcribe(self, sound: Float32, language: str | None = None) -> Transcript:
        """See `Transcriber.transcribe`. Raises OptionError for a language that is not known."""
        check_sound(sound)
        language = language or self._language
        self._check_language(language)
        # Without a voice there is no language to detect either.
        if not self._vad.get_speech_timestamps(sound):
            return Transcript((), language or "")
        segments, language = self._decode(sound, language)
        cues = list[Cue]()
        for start_s, end_s, said, is_looped in _windows(segments, len(sound) / self.rate_hz):
            cues += (_cue(segment, language) for segment in said)
            if is_looped and end_s - start_s >= _SHORTEST_RETRY_S:
                cues += self._again(sound, start_s, end_s, language)
        limit_s = len(sound) / self.rate_hz
        return Transcript(tuple(_within(cue, limit_s) for cue in cues if cue.text), language)

    def _again(self, sound: Float32, start_s: float, end_s: float, language: str) -> Iterator[Cue]:
        """What is said from the first loop of a window to its end; that stretch is heard once
        more."""
        rest = sound[round(start_s * self.rate_hz) : round(end_s * self.rate_hz)]
        if not self._vad.get_speech_timestamps(rest):
            return
        segments, _ = self._decode(rest, language)
        for _, _, said, _ in _windows(segments, len(rest) / self.rate_hz):
            yield from (_cue(segment, language, start_s) for segment in said)

    def _decode(self, sound: Float32, language: str | None) -> tuple[list[Any], str]:
        """The segments of faster-whisper, and the language."""
        segments, info = self._model.transcribe(
            sound,
            language=language,
            beam_size=self._beam,
            temperature=0.0,
            # Each window by itself: a wrong word, or a loop, does not reach the next.
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=True,
        )
        return list(segments), str(info.language)


def _windows(
    segments: Iterable[Any], length_s: float
) -> Iterator[tuple[float, float, list[Any], bool]]:
    """For each window that was decoded at once: where its first loop ends, where the window ends,
    its segments up to there, and whether there is a loop."""
    windows = [list(window) for _, window in groupby(segments, key=lambda each: each.seek)]
    ends_s = [*(window[0].start for window in windows), length_s][1:]
    for window, end_s in zip(windows, ends_s, strict=True):
        words = [word for segment in window for word in segment.words or ()]
        kept = first_loop([word.word for word in words])
        if kept is not None:
            last = words[kept - 1]
            yield float(last.end), float(end_s), _cut(window, kept), True
        elif _is_guessed(window[0]):
            yield float(window[0].start), float(end_s), [], False
        else:
            yield float(window[-1].end), float(end_s), window, False


def _is_guessed(segment: Any) -> bool:
    """Whether the window of a segment repeats itself or is nothing but guesses. The scores are
    those of the window."""
    return bool(
        segment.compression_ratio > _MOST_COMPRESSED or segment.avg_logprob < _LEAST_LOG_PROBABILITY
    )


def _cut(window: Sequence[Any], count: int) -> list[Any]:
    """The segments with the first `count` words."""
    kept = []
    for segment in window:
        words = (segment.words or [])[:count]
        count -= len(words)
        if words:
            segment.words = words
            segment.text = "".join(word.word for word in words)
            kept.append(segment)
    return kept


def _cue(segment: Any, language: str, shift_s: float = 0.0) -> Cue:
    words = list[Word]()
    for word in segment.words or ():
        text = word.word.strip()
        start_s, end_s = float(word.start) + shift_s, float(word.end) + shift_s
        # Words bring the spaces before them, so "-born" goes on with the word before it.
        goes_on = words and language not in _WITHOUT_SPACES and not word.word[:1].isspace()
        if goes_on and text:
            words[-1] = replace(words[-1], end_s=end_s, text=words[-1].text + text)
        elif text:
            words.append(Word(start_s, end_s, text))
    start_s, end_s = float(segment.start) + shift_s, float(segment.end) + shift_s
    if words:
        start_s, end_s = words[0].start_s, words[-1].end_s
    return Cue(start_s, max(start_s, end_s), " ".join(segment.text.split()), tuple(words))


def _within(cue: Cue, limit_s: float) -> Cue:
    """The cue with all times in [0, limit_s] and in order."""
    words, reached_s = [], 0.0
    for word in cue.words:
        start_s = min(max(word.start_s, reached_s), limit_s)
        end_s = min(max(word.end_s, start_s), limit_s)
        words.append(Word(start_s, end_s, word.text))
        reached_s = start_s
    start_s, end_s = np.clip([cue.start_s, cue.end_s], 0.0, limit_s)
    return Cue(float(start_s), float(max(start_s, end_s)), cue.text, tuple(words))


def runs_on_gpu(device: str) -> bool:
    """Whether this option means a GPU on this machine. Raises BackendError without the extra."""
    return _device(device)[0] != "cpu"


def _device(device: str) -> tuple[str, int]:
    """A device as CTranslate2 writes it: its kind and its number."""
    kind, _, number = device.partition(":")
    runtime = dependency("ctranslate2", "speech").require("hearing speech")
    there = runtime.get_cuda_device_count()
    if device == "auto":
        kind = "cuda" if there else "cpu"
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise BackendError(
            f'device {device!r} does not run Whisper; valid: "auto", "cpu", "cuda", "cuda:1", ...'
        )
    if kind == "cuda" and int(number or 0) >= there:
        raise BackendError(
            f"device {device!r} is not there: CTranslate2 finds {there} CUDA devices; set"
            " transcribe.device=cpu"
        )
    return kind, int(number or 0)


def _threads() -> int:
    """How many threads compute: as many as OMP_NUM_THREADS says, which is one for each of several
    processes, or else one for each core. 0 leaves it to that variable."""
    if os.environ.get("OMP_NUM_THREADS"):
        return 0
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
