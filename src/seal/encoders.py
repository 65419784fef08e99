"""The encoders that made the tokens of videos, each loaded once."""

from __future__ import annotations

from threading import Lock

from seal import backends, encode
from seal.config import Options
from seal.encode import Encoder
from seal.errors import StoreError
from seal.lookup import encoder_settings, meaning_settings
from seal.store import VideoRecord
from seal.weights import nothing_fetched
from seal.words.meaning import SentenceEncoder, load_sentence_encoder


class Encoders:
    """The encoders that made the tokens of videos, each loaded once.

    `given` is one that was handed in as an object.
    """

    def __init__(self, given: Encoder | None = None) -> None:
        # Of two threads that need an encoder, one loads it.
        self._lock = Lock()
        self._loaded: dict[str, Encoder] = {}
        if given is not None:
            self.add(given)
        self._sentences: dict[str, SentenceEncoder] = {}

    def add(self, encoder: Encoder) -> None:
        """Another encoder that was handed in as an object. Raises BackendError if it is none."""
        backends.complete_object("encode", encoder, Encoder)
        with self._lock:
            self._loaded[encoder.fingerprint] = encoder

    def of(self, record: VideoRecord) -> Encoder:
        """The encoder of a video.

        Raises StoreError if other weights than the video's are installed now, and if the encoder
        was handed in as an object and is not given.
        """
        with self._lock:
            if record.encoder not in self._loaded:
                self._loaded[record.encoder] = _load_encoder(record)
            return self._loaded[record.encoder]

    def of_sentences(self, record: VideoRecord) -> SentenceEncoder | None:
        """What embedded the words of a video beside its encoder; None where nothing did.

        Raises StoreError if another one is installed now, BackendError if none is.
        """
        name = record.meaning
        with self._lock:
            if name and name not in self._sentences:
                self._sentences[name] = _load_sentences(record)
            return self._sentences.get(name)


def _load_encoder(record: VideoRecord) -> Encoder:
    if record.encoder_options.get("backend") == "instance":
        raise StoreError(
            f"{record.path} was indexed with an encoder that was handed in as an object"
            f" ({record.encoder}); hand it in again: seal.open(..., encoder=...)"
        )
    # The store may be someone else's: what it names is looked for on this machine alone.
    with nothing_fetched("encode", record.encoder_options):
        encoder = encode.load(Options.load(record.profile, encoder_settings(record)).encode)
    if encoder.fingerprint != record.encoder:
        raise _other(record, record.encoder, encoder.fingerprint)
    return encoder


def _load_sentences(record: VideoRecord) -> SentenceEncoder:
    settings = meaning_settings(record)
    with nothing_fetched("meaning", dict(setting.split("=", 1) for setting in settings)):
        found = load_sentence_encoder(Options.load(record.profile, settings).meaning)
    if found is None or found.fingerprint != record.meaning:
        raise _other(record, record.meaning, "none" if found is None else found.fingerprint)
    return found


def _other(record: VideoRecord, stored: str, now: str) -> StoreError:
    return StoreError(
        f"{record.path} was indexed with other encoder weights ({stored}) than are installed now"
        f" ({now}); run `seal index` on it again"
    )
