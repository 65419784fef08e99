"""BLIP-2's image-text contrastive towers (Li et al. 2023, section 3.1), the encoder of the paper.

The Q-Former looks at a picture with q learned queries and gives q outputs; a text gives one, that
of its [CLS]. Their similarity in training is the largest of the q cosines (section 3.1; the
image-text contrast of `Blip2Qformer` in LAVIS). So for a token t with outputs z_1 ... z_q and a
query text u:

    R(t, u)  = max over k of cos(z_k, u)
    S(t, t') = cos(mean over k of z_k, mean over k of z'_k)

The first is what the network was trained for. For the second nothing was trained, and SEAL's paper
only says cosine between tokens. The mean keeps S symmetric, 1 for equal tokens, and one dot product
where comparing all pairs of outputs takes q * q.

Each side is a network of its own here, loaded when first used: a query costs the text side (a
BERT-base), not the billion parameters that look at pictures.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from seal.config import Blip2Encode
from seal.encode.towers import TowersEncoder
from seal.errors import BackendError

# Texts were cut off here in training (`max_txt_len` of LAVIS's Blip2Qformer); the later positions
# of the underlying BERT are there, but have not seen this objective.
MAX_WORDS = 32


class Blip2Encoder(TowersEncoder):
    """BLIP-2 with its image-text retrieval weights; q is the number of query outputs, mostly 32."""

    architecture = "blip-2"
    max_words = MAX_WORDS

    def __init__(self, options: Blip2Encode) -> None:
        super().__init__(options)
        # Most checkpoints of this type write captions and lack the contrastive heads. Said here,
        # because the networks themselves are loaded only when they are needed.
        if (found := self._config.architectures) != ["Blip2ForImageTextRetrieval"]:
            raise BackendError(
                f"the weights {options.weights!r} are a {found}, not the Blip2ForImageTextRetrieval"
                f" that compares pictures with texts, such as {Blip2Encode.weights!r}"
            )
        self.dimension = self._config.image_text_hidden_size
        self.facets = self._config.num_query_tokens

    @cached_property
    def _vision(self) -> Any:
        return self._load_vision("Blip2VisionModelWithProjection")

    @cached_property
    def _text(self) -> Any:
        return self._load("Blip2TextModelWithProjection")

    def _image_outputs(self, pixel_values: Any) -> Any:
        return self._vision(pixel_values=pixel_values).image_embeds

    def _text_outputs(self, input_ids: Any, attention_mask: Any = None) -> Any:
        outputs = self._text(input_ids=input_ids, attention_mask=attention_mask).text_embeds
        return outputs[:, 0]
