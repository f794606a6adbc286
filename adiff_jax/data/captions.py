"""Text for CLIP: a small byte-level BPE in the layout of OpenAI's and Hugging Face's CLIP tokenizer."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import RobertaProcessing

START, END = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train_tokenizer(captions: Iterable[str], folder: Path | str, *, vocab_size: int = 1024) -> Tokenizer:
    """Learns a vocabulary from captions and saves it as `transformers.CLIPTokenizer.from_pretrained` reads it.

    As in CLIP's own vocabulary, bytes come first and the end token is the last, so that CLIP's pooling at the highest
    token id finds it.

    Args:
        captions: sentences to learn from.
        folder: where `vocab.json`, `merges.txt` and `tokenizer_config.json` are written; made if it is not there.
        vocab_size: most entries, including 2 for each byte and the start and end tokens; at least 514.

    Raises:
        ValueError: if the vocabulary cannot hold the bytes.
    """
    bytes_alone = sorted(pre_tokenizers.ByteLevel.alphabet())
    room = vocab_size - 2 * len(bytes_alone) - 2
    if room < 0:
        raise ValueError(f"vocab_size {vocab_size} is below {vocab_size - room}, which the bytes need")
    # The learner numbers entries it was not told of in random order, and breaks ties by number: tell it of all.
    last_bytes = [byte + "</w>" for byte in bytes_alone]
    learner = _pipeline(models.BPE(end_of_word_suffix="</w>"))
    learner.train_from_iterator(
        captions,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=last_bytes,
            initial_alphabet=bytes_alone,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    merges = [tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"][:room]]
    entries = dict.fromkeys([*bytes_alone, *last_bytes, *map("".join, merges), START, END])
    vocab = {entry: index for index, entry in enumerate(entries)}

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
        "do_lower_case": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return load_tokenizer(folder)


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """Reads `vocab.json` and `merges.txt` of a CLIP tokenizer; gives the ids that `transformers.CLIPTokenizer` gives.

    Raises:
        ValueError: if a file is missing.
    """
    paths = [Path(folder) / name for name in ("vocab.json", "merges.txt")]
    for path in paths:
        if not path.is_file():
            raise ValueError(f"no {path.name} in {folder}: not the folder of a CLIP tokenizer")
    model = models.BPE.from_file(*map(str, paths), end_of_word_suffix="</w>", unk_token=END)
    tokenizer = _pipeline(model)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in (START, END)])
    end, start = ((token, tokenizer.token_to_id(token)) for token in (END, START))
    tokenizer.post_processor = RobertaProcessing(end, start, trim_offsets=False, add_prefix_space=False)
    return tokenizer


def tokenize(tokenizer: Tokenizer, captions: Sequence[str], length: int) -> Int32[np.ndarray, "B L"]:
    """Token ids: start, text, end, then end again up to `length`. Longer texts are cut, the end token kept."""
    end = tokenizer.token_to_id(END)
    tokens = np.full((len(captions), length), end, np.int32)
    for row, encoding in zip(tokens, tokenizer.encode_batch(list(captions)), strict=True):
        ids = encoding.ids[: length - 1]
        row[: len(ids)] = ids
    return tokens


def _pipeline(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
