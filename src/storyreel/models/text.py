"""From the words of a storyboard to the text encoder's output.

The tokenizer is word level: lower case, one token a word or punctuation mark, `</s>` at the end as T5 has it, and the
two scene marks as tokens of their own. The encoder is CogVideoX's choice, T5, at any size. A small one is trained with
the transformer, so gradients flow through `encode_texts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from storyreel.errors import ConfigError, StoryboardError, WeightsError, refusal
from storyreel.models.state_dict import load_cogvideox
from storyreel.models.words import END_SCENE, START_SCENE, Replacement, replace_word
from storyreel.wording import counted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SPECIAL_TOKENS = (PAD, END, UNKNOWN, START_SCENE, END_SCENE)

# A word, a clitic ('s, n't's 't), or one punctuation mark. In the Rust expressions of `tokenizers`.
PIECE = r"\w+|'(?:s|t|re|ll|ve|d|m)\b|[^\w\s]"
CURLY = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-"}


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A word-level tokenizer that knows `words` (any case; an entry such as "cat's" gives each of its pieces a token).

    Ids: <pad> 0, </s> 1, <unk> 2, <start_scene> 3, <end_scene> 4, then the pieces in alphabetical order.
    """
    normalizer, splitter = _normalizer(), _splitter()
    normal = [normalizer.normalize_str(word) for word in words if word not in SPECIAL_TOKENS]
    pieces = {piece for word in normal for piece, _ in splitter.pre_tokenize_str(word)}
    vocabulary = {token: number for number, token in enumerate([*SPECIAL_TOKENS, *sorted(pieces)])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    backend.normalizer = normalizer  # pyright: ignore[reportAttributeAccessIssue]
    backend.pre_tokenizer = splitter  # pyright: ignore[reportAttributeAccessIssue]
    backend.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, SPECIAL_TOKENS.index(END))]
    )
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return _wrap(backend)


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """What `save_pretrained` wrote into `folder`; WeightsError where its tokenizer.json is missing or damaged."""
    path = Path(folder) / "tokenizer.json"
    try:
        content = path.read_text(encoding="utf-8")
        json.loads(content)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read ({error}). Copy the model folder again.") from error
    try:
        return _wrap(Tokenizer.from_str(content))
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise WeightsError(f"{path} describes no tokenizer ({error}). Copy the model folder again.") from error


def known_words(tokenizer: PreTrainedTokenizerBase) -> frozenset[str]:
    """Every word and punctuation mark of the vocabulary, special tokens left out."""
    return frozenset(tokenizer.get_vocab()) - frozenset(SPECIAL_TOKENS)


def count_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    """Tokens of a text, the end mark included."""
    return len(tokenizer(text)["input_ids"])


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
    """Ids and mask, both int64 `[len(texts), length]`, padded on the right. StoryboardError for a text too long."""
    rows = [tokenizer(text)["input_ids"] for text in texts]
    for number, row in enumerate(rows, start=1):
        if len(row) > length:
            raise StoryboardError(too_long(f"text {number}", len(row), length))
    ids = torch.zeros(len(rows), length, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, values in enumerate(rows):
        ids[row, : len(values)] = torch.tensor(values)
        mask[row, : len(values)] = 1
    return ids, mask


def too_long(where: str, tokens: int, limit: int) -> str:
    """The one line that tells how much a text has to lose."""
    much = counted(tokens - limit, "word or punctuation mark", "words or punctuation marks")
    return (
        f"{where} has {tokens} tokens, but at most {limit} fit: {tokens - limit} too many. "
        f"Take out {much} (scene marks and the end mark count too)."
    )


def encode_texts(
    tokenizer: PreTrainedTokenizerBase, text_encoder: T5EncoderModel, texts: Sequence[str], length: int
) -> Tensor:
    """The encoder's last hidden states `[len(texts), length, C]` in its own dtype and device; rows of padding are zero.

    Differentiable in the encoder's parameters. StoryboardError where a text has more than `length` tokens.
    """
    ids, mask = tokenize(tokenizer, texts, length)
    return encode_ids(text_encoder, ids, mask)


def encode_ids(text_encoder: T5EncoderModel, ids: Tensor, mask: Tensor) -> Tensor:
    """`encode_texts` for ids and mask `[n, length]` that `tokenize` made, on any device.

    Nothing here waits for a GPU, so a CUDA graph can hold it: transformers takes a mask `[n, 1, 1, length]` of summands
    as it is, but looks into one of `[n, length]` for padding (5.17 and 5.23, masking_utils.py).
    """
    weight = text_encoder.get_input_embeddings().weight
    mask = mask.to(weight.device)
    padded = (1 - mask)[:, None, None].to(weight.dtype) * torch.finfo(weight.dtype).min
    hidden = text_encoder(input_ids=ids.to(weight.device), attention_mask=padded).last_hidden_state
    return hidden * mask[..., None].to(hidden.dtype)


def build_text_encoder(vocab_size: int, width: int, layers: int, heads: int) -> T5EncoderModel:
    """A T5 v1.1 encoder (gated GELU, no dropout) with fresh weights; ConfigError unless heads divide the width."""
    if width % heads:
        way_out = f"Try {width // heads * heads or heads}"
        raise ConfigError(refusal("text encoder width", width, f"it must be a multiple of its {heads} heads", way_out))
    config = T5Config(
        vocab_size=vocab_size,
        d_model=width,
        d_kv=width // heads,
        d_ff=-(-width * 8 // 3 // 16) * 16,
        num_layers=layers,
        num_decoder_layers=0,
        num_heads=heads,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        is_encoder_decoder=False,
        use_cache=False,
        pad_token_id=SPECIAL_TOKENS.index(PAD),
        eos_token_id=SPECIAL_TOKENS.index(END),
    )
    return T5EncoderModel(config)


def load_text_encoder(folder: str | Path, dtype: torch.dtype = torch.float32) -> T5EncoderModel:
    """A T5 encoder that `save_pretrained` wrote, one file or shards. WeightsError where anything is amiss."""
    folder = Path(folder)
    path = folder / "config.json"
    try:
        config = T5Config(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} cannot be read ({error}). Copy the model folder again.") from error
    text_encoder = T5EncoderModel(config)
    nn.Module.to(text_encoder, dtype=dtype)
    weights = folder / "model.safetensors"
    index = folder / "model.safetensors.index.json"
    load_cogvideox(_Untied(text_encoder), index if index.is_file() else weights)
    return text_encoder


def unknown_words(tokenizer: PreTrainedTokenizerBase, text: str) -> list[tuple[str, str]]:
    """(word, what is read instead) for each word of `text` outside the vocabulary, in order, each once."""
    return [(found.word, found.replacement) for found in prepare_text(tokenizer, text)[1]]


def prepare_text(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[str, list[Replacement]]:
    """`text` with known words in the place of unknown ones, and what was replaced (in order, each word once).

    A word that nothing is like stays and becomes <unk>. What the user wrote is otherwise left as it is.
    """
    backend = _backend(tokenizer)
    known = known_words(tokenizer)
    found: dict[str, Replacement] = {}
    parts, end_of_last = [], 0
    encoding = backend.encode(text, add_special_tokens=False)
    for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
        if token != UNKNOWN:
            continue
        word = text[start:end]
        found.setdefault(word.lower(), replace_word(word.lower(), known, UNKNOWN)._replace(word=word))
        replacement = found[word.lower()]
        parts += [text[end_of_last:start], word if replacement.how == "unknown" else replacement.replacement]
        end_of_last = end
    return "".join([*parts, text[end_of_last:]]), list(found.values())


def _backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        kind = type(tokenizer).__name__
        raise WeightsError(f"the tokenizer is a {kind}, but only a PreTrainedTokenizerFast tells where a word stands.")
    return tokenizer.backend_tokenizer


def _wrap(backend: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        extra_special_tokens=[START_SCENE, END_SCENE],
    )


def _normalizer() -> normalizers.Normalizer:
    plain_quotes = [normalizers.Replace(curly, plain) for curly, plain in CURLY.items()]
    return normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), *plain_quotes])


def _splitter() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(PIECE), behavior="removed", invert=True)


class _Untied(nn.Module):
    """A text encoder whose state dict has the word embedding once, as its files have it."""

    def __init__(self, text_encoder: T5EncoderModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        state = self.text_encoder.state_dict()
        return {name: value for name, value in state.items() if name != "encoder.embed_tokens.weight"}
