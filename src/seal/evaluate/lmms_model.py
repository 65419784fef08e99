"""The models `seal` of lmms-eval: any other of its models, with SEAL's selection in front of it."""

from __future__ import annotations

from typing import Any

from lmms_eval.api.model import lmms
from lmms_eval.models import get_model
from lmms_eval.utils import simple_parse_args_string

from seal.evaluate.lmms import in_front, take_selector


class SealModel(lmms):
    """The name under which lmms-eval asks for a model; what it gets is a kind of another one."""

    is_simple = False

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> lmms:
        """The model `seal_model`, which gets all arguments that are not SEAL's: `take_selector`."""
        arguments = simple_parse_args_string(arg_string)
        name, selector = take_selector(arguments)
        more = {key: value for key, value in (additional_config or {}).items() if value is not None}
        made: lmms = in_front(get_model(name, cls.is_simple), selector)(**arguments, **more)
        return made


class SimpleSeal(SealModel):
    """The same where lmms-eval is told to prefer simple models."""

    is_simple = True
