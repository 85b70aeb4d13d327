"""A frozen encoder whose embeddings a model is trained to follow."""

import copy

import torch
from torch import Tensor

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.backbones import load_backbone, spec_for
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.text_tokenizer import TextTokenizer

INITIAL = "initial"


class Teacher:
    """An encoder in evaluation mode that gets no gradient.

    It is no `nn.Module`: as an attribute of a model it is none of its parameters, so no optimiser, checkpoint
    or DDP sees it. A resumed run makes the same teacher again from the backbone, before the checkpoint is
    read.

    Args:
        encoder: frozen and put into evaluation mode here; it must share no parameter with a trained model.
        tokenizer: of the teacher, where it is not that of the trained model; None where it is.
    """

    def __init__(self, encoder: TextEncoder, tokenizer: TextTokenizer | None = None) -> None:
        self._encoder = encoder.eval().requires_grad_(False)
        self._device: torch.device | None = None
        self.tokenizer = tokenizer

    @classmethod
    def copy_of(cls, encoder: TextEncoder) -> "Teacher":
        """An independent copy of an encoder as it is now, with the same tokenizer."""
        return cls(copy.deepcopy(encoder, {id(encoder.tokenizer): encoder.tokenizer}))

    @classmethod
    def load(cls, model: str) -> "Teacher":
        """A named backbone, a folder or a model of the hub; texts are tokenised for it apart.

        Raises:
            UserError: no such model, or its files are missing or damaged.
        """
        try:
            encoder = load_backbone(spec_for(model))
        except UserError as error:
            raise UserError(f"loss.teacher={model}: {error}") from error
        return cls(encoder, encoder.tokenizer)

    @property
    def dimension(self) -> int:
        """Of its embeddings."""
        return self._encoder.dimension

    def tensors(self) -> tuple[Tensor, ...]:
        """Its weights and buffers, for those who count memory."""
        return (*self._encoder.parameters(), *self._encoder.buffers())

    def on(self, device: torch.device) -> TextEncoder:
        """The encoder, moved to a device when it is not there yet."""
        if self._device != device:
            self._encoder.to(device)
            self._device = device
        return self._encoder
