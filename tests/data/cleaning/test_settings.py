"""Mistakes in `data.clean` are named before anything is read."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from hybrid_retrieval.data.cleaning.settings import SWITCHES, CleaningSettings
from hybrid_retrieval.errors import UserError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"near_duplicate": 0.9}, r"data\.clean\.near_duplicate is unknown; known: exact_duplicates, near_"),
        ({"near_duplicates": True}, r"data\.clean\.near_duplicates must be null or a similarity .* not True"),
        ({"near_duplicates": 90}, "from 0.5 to 1, not 90"),
        ({"near_duplicates": 0.1}, "from 0.5 to 1, not 0.1"),
        ({"exact_duplicates": "yes"}, r"exact_duplicates must be true or false, not 'yes'"),
        ({"same_text": None}, r"same_text must be true or false, not None"),
        ({"min_question_chars": 0}, "min_question_chars must be null or a number of characters, not 0"),
        ({"max_passage_chars": 1.5}, "max_passage_chars must be null or a number of characters, not 1.5"),
        ({"min_passage_chars": 9, "max_passage_chars": 5}, "min_passage_chars=9 is greater than .*=5"),
        ({"decontaminate": [1]}, r"must be a list of benchmarks such as \[xquad_r\], not \[1\]"),
        ([], "must be a mapping"),
    ],
)
def test_mistakes(given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CleaningSettings.from_config(given)


def test_all_is_off_by_default_and_named_when_on() -> None:
    assert CleaningSettings.from_config(None) == CleaningSettings() == CleaningSettings.from_config({})
    assert CleaningSettings().on == ()
    every = dict.fromkeys(SWITCHES, 5) | {
        "near_duplicates": 0.9,
        "exact_duplicates": True,
        "same_text": True,
        "decontaminate": ["b", "a", "b"],
    }
    chosen = CleaningSettings.from_config(OmegaConf.create(every))
    assert chosen.on == SWITCHES
    assert chosen.decontaminate == ("a", "b")
