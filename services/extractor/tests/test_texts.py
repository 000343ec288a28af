"""Texts of single tokens, of every kind of tokenizer: spaces seen, broken characters no error."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mistudio_contracts.errors import InvalidInput
from mistudio_extractor.services.texts import Texts
from mistudio_extractor.services.tokenizing import tokenizer_of


def byte_level() -> Tokenizer:
    """As of GPT-2: a token is bytes, the space before a word among them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: index for index, piece in enumerate([*alphabet, "he", "the", "Ġthe"])}
    merges = [("h", "e"), ("t", "he"), ("Ġ", "the")]
    made = Tokenizer(models.BPE(vocab, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def sentence_piece() -> Tokenizer:
    """As of Llama: a space is ``▁``, what has no piece is bytes, the first space is dropped."""
    letters = ["▁", "a", "t", "h", "e", "he", "the", "▁the", "▁a", "."]
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    merges = [("h", "e"), ("t", "he"), ("▁", "the"), ("▁", "a")]
    made = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return made


def fast(made: Tokenizer) -> Any:
    return PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=True)


@pytest.mark.parametrize("make", [byte_level, sentence_piece])
def test_a_space_is_seen_where_the_text_has_one(make: Any) -> None:
    tokenizer = fast(make())
    texts = Texts(tokenizer)
    ids = tokenizer("a the.the", add_special_tokens=False)["input_ids"][1:]
    assert "".join(texts.each(ids)) == " the.the"
    assert texts.each(ids)[0] == " the"
    assert texts.together(ids) == " the.the"
    assert texts.together([]) == ""


@pytest.mark.parametrize("make", [byte_level, sentence_piece])
def test_a_part_of_a_character_is_no_error(make: Any) -> None:
    tokenizer = fast(make())
    texts = Texts(tokenizer)
    ids = tokenizer("aé\n", add_special_tokens=False)["input_ids"][-3:]
    assert texts.each(ids) == ["\N{REPLACEMENT CHARACTER}"] * 2 + ["\n"]
    assert texts.together(ids) == "é\n"


def test_a_tokenizer_that_names_code_of_its_own_never_runs_it(tmp_path: Path) -> None:
    fast(byte_level()).save_pretrained(tmp_path)
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(
        f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n"
        "from transformers import PreTrainedTokenizerFast as Evil\n"
    )
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["auto_map"] = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    path.write_text(json.dumps({**config, "tokenizer_class": "Evil"}))
    with contextlib.suppress(InvalidInput):
        tokenizer_of(tmp_path)
    assert not ran.exists()


def test_a_tokenizer_that_several_threads_use_is_changed_by_no_call(tmp_path: Path) -> None:
    made = byte_level()
    made.enable_truncation(4)
    made.enable_padding()
    fast(made).save_pretrained(tmp_path)
    tokenizer = tokenizer_of(tmp_path)
    backend = tokenizer.backend_tokenizer
    assert (backend.truncation, backend.padding) == (None, None)
    assert len(tokenizer("the the the the the the")["input_ids"]) == 6


def test_an_id_beyond_the_vocabulary_reads_as_nothing() -> None:
    assert Texts(fast(byte_level())).each([50_000]) == [""]
