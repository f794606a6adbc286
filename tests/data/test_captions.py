"""The tokenizer: files that the Hugging Face class reads to the same ids, without torch."""

import numpy as np
import pytest

from adiff_jax.data.captions import END, START, load_tokenizer, tokenize, train_tokenizer

CAPTIONS = [
    "A young woman with long red hair and blue eyes, wearing a green shirt.",
    "An old man with a grey beard and glasses, wearing a black coat.",
    "A man with short brown hair, wearing a green coat.",
]
UNSEEN = ["an old   WOMAN's coat, 25 years", "Ünïcödé 日本 🙂!", "", "she'll wear green <|endoftext|> glasses"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(CAPTIONS, path, vocab_size=600)
    return path


def test_hugging_face_gives_the_same_ids(folder):
    transformers = pytest.importorskip("transformers")
    reference = transformers.CLIPTokenizer.from_pretrained(folder)
    ours = tokenize(load_tokenizer(folder), CAPTIONS + UNSEEN, 40)
    theirs = reference(CAPTIONS + UNSEEN, padding="max_length", truncation=True, max_length=40)["input_ids"]
    np.testing.assert_array_equal(ours, theirs)


def test_layout_of_the_vocabulary(folder):
    tokenizer = load_tokenizer(folder)
    size = tokenizer.get_vocab_size()
    assert size <= 600
    # CLIP pools at the highest id, so the end token is the last, as in OpenAI's vocabulary.
    assert tokenizer.token_to_id(END) == size - 1
    assert tokenizer.token_to_id(START) == size - 2


def test_words_of_the_captions_are_one_token(folder):
    tokenizer = load_tokenizer(folder)
    assert tokenizer.encode("wearing").tokens == [START, "wearing</w>", END]


def test_any_text_comes_back(folder):
    tokenizer = load_tokenizer(folder)
    for text in ["über 日本 🙂", "x y z"]:
        assert tokenizer.decode(tokenizer.encode(text).ids).replace("</w>", " ").strip() == text


def test_padding_and_truncation_keep_the_end(folder):
    tokenizer = load_tokenizer(folder)
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    short, long = tokenize(tokenizer, ["man", CAPTIONS[0]], 6)
    np.testing.assert_array_equal(short, [start, tokenizer.token_to_id("man</w>"), end, end, end, end])
    assert long[0] == start
    assert long[-1] == end
    assert (long[:-1] != end).all()


def test_training_is_deterministic(folder, tmp_path):
    train_tokenizer(CAPTIONS, tmp_path, vocab_size=600)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_errors(tmp_path):
    with pytest.raises(ValueError, match=r"no vocab\.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(ValueError, match="below 514"):
        train_tokenizer(CAPTIONS, tmp_path, vocab_size=100)
