"""The sentence-transformers side of the training benchmark."""

from collections.abc import Callable, Sequence

import torch
from omegaconf import DictConfig
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoConfig

from hybrid_retrieval.models.backbones import BackboneSpec, backbone_folder
from hybrid_retrieval.models.hf_folder import DROPOUT_ATTRIBUTES, quiet_transformers
from hybrid_retrieval.models.text_tokenizer import TextKind, TextTokenizer


class TheirTraining:
    """MultipleNegativesRankingLoss with fused AdamW, clipping and our schedule, in a loop with nothing else.

    Their Trainer does the same and logs besides, so this is their faster way. The loss embeds queries and
    passages in a forward pass each, padded to the longest text of the batch.

    Args:
        cfg: `conf/train.yaml`: backbone, loss, optim, trainer.gradient_clip_val.
        tokenizer: ours, for its prefixes and lengths.
        learning_rate_factor: by which the learning rate of a step is multiplied.
        chunk: texts of a chunk of CachedMultipleNegativesRankingLoss; 0 for the plain loss.

    Attributes:
        tokens: of the last step, without padding.
        padded: the same with padding.
    """

    def __init__(
        self,
        cfg: DictConfig,
        tokenizer: TextTokenizer,
        learning_rate_factor: Callable[[int], float],
        chunk: int = 0,
    ) -> None:
        folder = backbone_folder(BackboneSpec.from_mapping(dict(cfg.backbone)))
        known = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        dropout = {name: cfg.backbone.dropout for name in DROPOUT_ATTRIBUTES if hasattr(known, name)}
        with quiet_transformers():
            self.model = SentenceTransformer(
                str(folder),
                device="cpu",
                trust_remote_code=False,
                local_files_only=True,
                config_kwargs=dropout,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32, "attn_implementation": "sdpa"},
            )
        self.model.train()
        self.tokenizer = tokenizer
        scale = 1 / cfg.loss.temperature
        self.loss: nn.Module = (
            CachedMultipleNegativesRankingLoss(self.model, scale=scale, mini_batch_size=chunk)
            if chunk
            else MultipleNegativesRankingLoss(self.model, scale=scale)
        )
        parameters = list(self.model.parameters())
        self.clip = cfg.trainer.gradient_clip_val
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": cfg.optim.weight_decay},
                {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=cfg.optim.lr,
            betas=tuple(cfg.optim.betas),
            eps=cfg.optim.eps,
            fused=cfg.optim.fused,
        )
        self.scheduler = LambdaLR(self.optimizer, learning_rate_factor)
        self.tokens = self.padded = 0

    def step(self, queries: Sequence[str], passages: Sequence[str]) -> float:
        """Tokenise, forward, backward, clip, update; the loss before the update."""
        features = [self._features(queries, "query"), self._features(passages, "passage")]
        self.tokens = sum(int(f["attention_mask"].sum()) for f in features)
        self.padded = sum(f["attention_mask"].numel() for f in features)
        loss: Tensor = self.loss(features, torch.empty(0))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.scheduler.step()
        return float(loss.detach())

    def _features(self, texts: Sequence[str], kind: TextKind) -> dict[str, Tensor]:
        self.model.max_seq_length = self.tokenizer.max_length[kind]
        prefix = self.tokenizer.prefixes[kind]
        features: dict[str, Tensor] = self.model.preprocess([prefix + text for text in texts])
        return features
