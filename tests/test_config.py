"""A misspelt or impossible option never runs with a default."""

import dataclasses

import pytest

from seal.config import PROFILES, Options, as_dict, deciding, digest
from seal.errors import OptionError
from seal.kinds import known


def test_settings_are_parsed_by_their_type() -> None:
    settings = ["actions.min_length_s=0.5", "scenes.count=12", "objects.keyframes=shot"]
    options = Options.load("mini", settings)
    assert options.actions.min_length_s == 0.5
    assert options.scenes.count == 12
    assert options.objects.keyframes == "shot"
    assert Options.load("mini", ["scenes.count=none"]).scenes.count is None


def test_a_back_end_brings_its_own_options() -> None:
    options = Options.load("mini", ["segment.points_per_side=16", "segment.backend=sam2"])
    assert as_dict(options.segment)["backend"] == "sam2"
    assert as_dict(options.segment)["points_per_side"] == 16


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("nothing.at_all=1", "valid: video.rate_hz"),
        ("actions.minimum=1", "valid: actions.min_length_s"),
        ("segment.points_per_side=16", "valid: segment.backend"),
        ("answer.by=likelihood", "valid: answer.backend, answer.margin"),
        ("encode.backend=dalle", "valid: mini, blip2, clip, siglip"),
        ("objects.keyframes=often", "interval, codec, shot"),
        ("video.rate_hz=fast", "must be float"),
        ("video.rate_hz=0", r"rate_hz must lie in \(0, 1000\]"),
        ("video.rate_hz=nan", "finite"),
        ("actions.max_length_s=inf", "finite"),
        ("video.short_side_px=4", "at least 16"),
        ("video.part_s=0", "at least 1"),
        ("video.max_duration_s=-1", "above 0"),
        ("scenes.interval_s=0", "above 0"),
        ("scenes.count=0", "at least 1"),
        ("objects.min_area=0.9", "min_area must be"),
        ("objects.duplicate_iou=0", "duplicate_iou"),
        ("objects.interval_s=-1", "above 0"),
        ("objects.max_per_keyframe=0", "at least 1"),
        ("actions.min_length_s=20", "min_length_s must be"),
        ("actions.frames=0", "at least 1"),
        ("attention.budget=0", "budget must be at least 1"),
        ("attention.alpha=1.5", r"alpha must lie in \[0, 1\]"),
        ("attention.s_min=0", r"s_min must lie in \(0, 1\]"),
        ("find.top=0", "at least 1"),
        ("find.smoothing_s=0", "above 0"),
        ("budget", "KEY=VALUE"),
    ],
)
def test_wrong_settings_are_refused(setting: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Options.load("mini", [setting])


def test_an_unknown_profile_lists_the_valid_ones() -> None:
    with pytest.raises(OptionError, match="valid: mini, base, paper"):
        Options.load("maxi")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_key_that_is_listed_can_be_set(profile: str) -> None:
    options = Options.load(profile)
    for key in options.keys():  # noqa: SIM118 - not a mapping
        stage, _, name = key.partition(".")
        values = as_dict(getattr(options, stage))
        values |= {f"cost_{kind.name}": kind.cost for kind in known().values()}
        value = values[name]
        assert Options.load(profile, [f"{key}={value}"]) == options


def test_options_without_effect_are_refused_where_they_have_none() -> None:
    assert Options.load(settings=["find.top=2"], task="find").find.top == 2
    for task, setting in (
        ("find", "attention.budget=3"),
        ("find", "answer.strip=9"),
        ("select", "find.top=3"),
        ("select", "scenes.count=3"),
        ("select", "attention.memory=9"),
        ("index", "attention.budget=3"),
        ("watch", "attention.budget=3"),
    ):
        Options.load(settings=[setting])
        with pytest.raises(OptionError, match=f"{setting} has no effect here: "):
            Options.load(settings=[setting], task=task)


def test_a_question_has_an_objective_of_its_own_below_the_profile() -> None:
    assert Options.load().attention.objective == "seal"
    asked = Options.load(task="ask").attention
    assert (asked.objective, asked.alpha) == ("normalised", 0.7)
    published = Options.load("paper", task="ask").attention
    assert (published.objective, published.alpha) == ("paper", 0.9)
    with pytest.raises(OptionError, match="no effect on the objective normalised"):
        Options.load(settings=["attention.query_weight=0.9"], task="ask")
    chosen = Options.load(
        settings=["attention.objective=seal", "attention.query_weight=0.9"], task="ask"
    )
    assert chosen.attention.query_weight == 0.9


def test_what_only_costs_time_does_not_decide_tokens() -> None:
    slow = Options.load("base", ["segment.device=cpu", "segment.points_per_batch=1"])
    assert deciding(slow.segment) == deciding(Options.load("base").segment)
    other = Options.load("base", ["segment.points_per_side=8"])
    assert deciding(other.segment) != deciding(slow.segment)


def test_options_cannot_be_changed_after_creation() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options.load().video.rate_hz = 1  # type: ignore[misc]


def test_digests_tell_values_apart_and_are_stable() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest("x", 1.5, None)) == 16
