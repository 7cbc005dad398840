from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from personalize_spark.training.lsa import embed, factors_of, singular, tf_idf, words_of

TEXTS = ["a spy in Paris", "the spy of Berlin", "cooking in Paris", "cooking at home", "", "unique"]


def test_words_are_letters_and_digits_in_lower_case() -> None:
    assert words_of("Übung: R2-D2 (don't_stop)") == ["übung", "r2", "d2", "don", "t", "stop"]


def test_a_word_counts_by_how_rare_it_is_and_not_by_how_often() -> None:
    matrix = tf_idf([words_of(text) for text in [*TEXTS, "spy spy spy Paris"]], 100).toarray()
    assert matrix.shape == (7, 4)  # spy, paris, in, cooking: the others are in one text
    lengths = np.linalg.norm(matrix, axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 0, 0, 1])
    spy, paris = matrix[6][np.argsort(-matrix[6])[:2]]
    assert spy / paris == pytest.approx(1 + np.log(3))  # both words are in three texts


def test_only_the_most_frequent_words_count_and_not_those_of_all() -> None:
    documents = [["all", "two", "three"], ["all", "two", "three"], ["all", "three"], ["all"]]
    assert tf_idf(documents, 1).toarray()[:, 0].tolist() == [1, 1, 1, 0]


@given(st.integers(0, 50), st.integers(1, 12))
def test_vectors_say_who_is_like_whom_as_well_as_their_rank_allows(seed: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    documents = [rng.choice(list("abcdefgh"), 4).tolist() for _ in range(20)]
    words = tf_idf(documents, 100)
    vectors = embed(words, rank).astype(np.float64)
    dense = words.toarray()
    _, values, turned = np.linalg.svd(dense)
    if rank < len(values) and values[rank - 1] - values[rank] < 1e-3:
        return  # which directions are the best ones is open
    kept = dense @ turned[:rank].T
    lengths = np.linalg.norm(kept, axis=1, keepdims=True)
    kept = np.where(lengths > 1e-6, kept / np.maximum(lengths, 1e-6), 0)
    there = lengths[:, 0] > 1e-4
    np.testing.assert_allclose((vectors @ vectors.T)[there][:, there], (kept @ kept.T)[there][:, there], atol=1e-4)


def test_nobody_is_described() -> None:
    assert not embed(tf_idf([["a"], ["b"]], 10), 3).any()
    assert not embed(tf_idf([[], []], 10), 3).any()


@pytest.mark.parametrize("count", [3, 40])
def test_factors_are_the_best_positive_ones(count: int) -> None:
    rng = np.random.default_rng(1)
    dense = rng.standard_normal((count, count))
    dense = dense + dense.T
    values, vectors = factors_of(csr_array(dense), 5)
    expected = np.sort(np.linalg.eigvalsh(dense))[::-1][:5]
    np.testing.assert_allclose(values, expected[expected > 0], rtol=1e-9)
    np.testing.assert_allclose(dense @ vectors, vectors * values, atol=1e-8)
    again, same = factors_of(csr_array(dense), 5)
    np.testing.assert_array_equal(vectors, same)
    np.testing.assert_array_equal(values, again)


@pytest.mark.parametrize("count", [3, 40])
def test_a_matrix_without_entries_has_no_factors(count: int) -> None:
    values, vectors = factors_of(csr_array((count, count)), 5)
    assert (values.shape, vectors.shape) == ((0,), (count, 0))


@pytest.mark.parametrize("count", [3, 40])
def test_a_matrix_is_approximated_as_well_as_its_rank_allows(count: int) -> None:
    dense = np.random.default_rng(2).standard_normal((count, count))
    left, values, right = singular(csr_array(dense), 5)
    u, s, v = np.linalg.svd(dense)
    np.testing.assert_allclose(values, s[:5])
    np.testing.assert_allclose(left * values @ right.T, u[:, :5] * s[:5] @ v[:5])
    again = singular(csr_array(dense), 5)
    np.testing.assert_array_equal(left, again[0])


def test_a_matrix_without_entries_has_no_directions() -> None:
    left, values, right = singular(csr_array((200_000, 200_000)), 2)
    assert (left.shape, values.shape, right.shape) == ((200_000, 0), (0,), (200_000, 0))
