"""The scores of a teacher over in-batch passages."""

from torch import Tensor
from torch.nn import functional


def distillation(
    queries: Tensor,
    passages: Tensor,
    teacher_queries: Tensor,
    teacher_passages: Tensor,
    *,
    temperature: float = 0.05,
) -> Tensor:
    r"""Mean over queries of KL(teacher || student) (Hinton et al., arXiv 1503.02531, section 2).

    Both distributions are softmax(cos(q, p) / temperature) over all passages of the batch, the own positive
    and its translations included: how close they are is what a teacher knows. With the untrained backbone as
    teacher the term holds the fine-tuned model near its start. Hinton's factor temperature^2 is left out,
    because the temperature here makes logits of cosines, as in InfoNCE, and the weight scales the term.

    Args:
        queries: (b, d), L2-normalised.
        passages: (m, d), L2-normalised.
        teacher_queries: (b, t), L2-normalised; t may differ from d. No gradient flows into the teacher.
        teacher_passages: (m, t), L2-normalised.
        temperature: positive.

    Returns:
        Scalar.
    """
    student = functional.log_softmax(queries @ passages.T / temperature, dim=1)  # (b, m)
    scores = teacher_queries.detach() @ teacher_passages.detach().T
    teacher = functional.log_softmax(scores / temperature, dim=1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
