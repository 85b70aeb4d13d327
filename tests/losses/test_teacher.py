"""A teacher is frozen, no part of the model that has it, and the same texts in the same tokens for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.teacher import Teacher
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny
from tests.losses import dual_encoder_parts as parts

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("parts")
    parts.prepare(made)
    return made


def test_copy_is_frozen_in_evaluation_mode_and_shares_no_memory(folder: Path) -> None:
    encoder = TextEncoder.from_folder(prepare_tiny(folder), name="tiny", dropout=0.1).train()

    teacher = Teacher.copy_of(encoder).on(CPU)

    assert encoder.training
    assert len(Teacher.copy_of(encoder).tensors()) == len([*encoder.parameters(), *encoder.buffers()])
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in encoder.parameters())
    own = {t.untyped_storage().data_ptr() for t in encoder.state_dict().values()}
    copied = teacher.state_dict()
    assert copied.keys() == encoder.state_dict().keys()
    for name, value in encoder.state_dict().items():
        assert torch.equal(copied[name], value)
        assert copied[name].untyped_storage().data_ptr() not in own


def test_is_no_part_of_the_model(folder: Path) -> None:
    with_teacher, without = (parts.dual_encoder(folder, terms=terms) for terms in (True, False))
    heads = {f"loss.{n}" for n, _ in with_teacher.loss.named_parameters()} - {
        f"loss.{n}" for n, _ in without.loss.named_parameters()
    }

    assert all("language_adversary" in name for name in heads)
    assert set(dict(with_teacher.named_parameters())) - heads == set(dict(without.named_parameters()))
    assert set(with_teacher.state_dict()) - heads == set(without.state_dict())
    optimizer = with_teacher.configure_optimizers()["optimizer"]
    stepped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(stepped) == sorted(id(p) for p in with_teacher.parameters())


def test_parameters_of_terms_have_a_learning_rate_of_their_own_and_no_weight_decay(folder: Path) -> None:
    *others, head = parts.dual_encoder(folder, terms=True).configure_optimizers()["optimizer"].param_groups

    assert (head["initial_lr"], head["weight_decay"]) == (1e-3, 0.0)
    assert len(head["params"]) == 4
    assert all(group["initial_lr"] == 1e-3 for group in others)


def test_training_steps_leave_it_as_it_is(folder: Path) -> None:
    model = parts.dual_encoder(folder, terms=True, dropout=0.1)
    batch = parts.collator(folder, terms=True)(parts.plan(folder)[0])
    teacher = model.teacher
    assert teacher is not None
    before = {name: value.clone() for name, value in teacher.on(CPU).state_dict().items()}
    optimizer = model.configure_optimizers()["optimizer"]
    model.train()
    for _ in range(2):
        model.training_step(batch, 0).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    after = teacher.on(CPU)
    assert all(torch.equal(value, before[name]) for name, value in after.state_dict().items())
    assert all(p.grad is None for p in after.parameters())
    assert not after.training
    moved = dict(model.encoder.named_parameters())
    assert not any(torch.equal(moved[n], before[n]) for n in moved if n.endswith("weight"))


def test_own_tokens_for_the_teacher_are_the_batchs_texts(folder: Path) -> None:
    """Hard negatives and what stands in for missing ones included: the tokenizer is the same here."""
    batch = parts.collator(folder, terms=True)(parts.plan(folder)[1])

    assert (batch.ids.passage == -1).any()
    for name, texts in (("teacher_queries", batch.queries), ("teacher_passages", batch.passages)):
        assert torch.equal(batch.extra[name].sequences.tokens, texts.sequences.tokens)
        assert torch.equal(batch.extra[name].order, texts.order)


def test_reading_english_changes_what_the_teacher_says_of_other_languages_alone(folder: Path) -> None:
    """The student's texts stay; of an English batch, nothing changes to the bit."""
    plan, model = parts.plan(folder), parts.dual_encoder(folder, terms=True)
    plain, english = (parts.collator(folder, terms=True, teacher_language=code) for code in (None, "en"))
    code = parts.LANGUAGES.index("en")
    for step in range(4):
        planned = plan[step]
        in_english = np.full(len(planned), code)
        for batch, same in (
            (planned, False),
            (replace(planned, query_languages=in_english, passage_languages=in_english), True),
        ):
            made = [collate(batch) for collate in (plain, english)]
            own, read = (model._extra_inputs(one) for one in made)
            assert torch.equal(made[0].passages.sequences.tokens, made[1].passages.sequences.tokens)
            assert torch.equal(made[0].queries.sequences.tokens, made[1].queries.sequences.tokens)
            for name, languages in (
                ("teacher_queries", made[0].query_languages),
                ("teacher_passages", made[0].passage_languages),
            ):
                one, other = getattr(own, name), getattr(read, name)
                is_english = languages == code
                if name == "teacher_passages":
                    is_english |= made[0].ids.passage == -1
                torch.testing.assert_close(one[is_english], other[is_english], atol=1e-6, rtol=0)
                assert bool(((one - other)[~is_english].norm(dim=1) > 1e-3).all())
                assert not same or torch.equal(one, other)


def test_unknown_teacher_is_refused() -> None:
    with pytest.raises(UserError, match=r"loss\.teacher=nonsense: there is no backbone"):
        Teacher.load("nonsense")
