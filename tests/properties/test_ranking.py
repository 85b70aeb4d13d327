"""Exact ranks against a sort in plain Python, with ties everywhere."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hybrid_retrieval.evaluation.ranking import rank_relevant
from tests.properties.profiles import EXAMPLES, on

# Whole numbers, and both zeros: inner products are exact and mostly equal.
VALUES = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0, 2.0**20, 2.0**-20])


@EXAMPLES
def test_equals_a_sort(examples: int) -> None:
    @on(examples)
    @given(
        queries=st.integers(1, 6),
        candidates=st.integers(1, 40),
        dimension=st.integers(1, 3),
        languages=st.integers(1, 4),
        block_bytes=st.sampled_from([1, 200, 1 << 20]),
        top=st.integers(0, 50),
        data=st.data(),
    )
    def holds(  # noqa: PLR0917 - one a drawn value
        queries: int,
        candidates: int,
        dimension: int,
        languages: int,
        block_bytes: int,
        top: int,
        data: st.DataObject,
    ) -> None:
        asked, pool = (
            data.draw(hnp.arrays(np.float32, (rows, dimension), elements=VALUES))
            for rows in (queries, candidates)
        )
        language = data.draw(hnp.arrays(np.int16, candidates, elements=st.integers(0, languages - 1)))
        tie_order = np.array(data.draw(st.permutations(range(candidates))))
        answers = [
            sorted(data.draw(st.sets(st.integers(0, candidates - 1), max_size=5))) for _ in range(queries)
        ]
        ranking = rank_relevant(
            asked,
            pool,
            candidate_language=language,
            languages=languages,
            tie_order=tie_order,
            relevant_offsets=np.cumsum([0, *map(len, answers)]),
            relevant=np.array([i for of in answers for i in of], dtype=np.int64),
            top=top,
            block_bytes=block_bytes,
        )
        pair = 0
        for query, relevant in enumerate(answers):
            scores = [
                float(sum(np.float32(a) * np.float32(b) for a, b in zip(asked[query], row, strict=True)))
                for row in pool
            ]
            order = sorted(range(candidates), key=lambda i: (-scores[i], tie_order[i]))
            assert ranking.top[query].tolist() == order[:top]
            for candidate in relevant:
                ahead = order[: order.index(candidate)]
                of_language = [int((language[ahead] == x).sum()) for x in range(languages)]
                assert (ranking.query[pair], ranking.candidate[pair]) == (query, candidate)
                assert ranking.ahead[pair].tolist() == of_language
                assert ranking.rank_in_pool[pair] == len(ahead) + 1
                assert ranking.rank_in_language[pair] == of_language[language[candidate]] + 1
                pair += 1
        assert pair == len(ranking.query)

    holds()
