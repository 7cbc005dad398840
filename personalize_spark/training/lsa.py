"""Short vectors from large sparse matrices: latent semantic analysis of words, and factors of a symmetric matrix.

Deerwester et al., "Indexing by Latent Semantic Analysis" (1990), on TF-IDF weights. ARPACK, which scipy brings, starts from a
vector that is always the same, so that the same words give the same vectors.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize_spark.errors import DataError

_WORD = re.compile(r"[^\W_]+")
_NOTHING = 1e-9


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def tf_idf(documents: Sequence[Iterable[str]], most: int) -> Any:
    """The matrix of documents and words: sparse float64 (D, W), rows of length 1, or 0 where no word counts.

    Args:
        documents: the words of each.
        most: how many words count: the most frequent ones of those that two documents or more have, but not all of them.
    """
    from scipy.sparse import csr_array

    counted = [Counter(document) for document in documents]
    frequencies = Counter(word for words in counted for word in words)
    kept = [word for word, count in frequencies.items() if 1 < count < len(documents)]
    code = {
        word: number for number, word in enumerate(sorted(kept, key=lambda word: (-frequencies[word], word))[:most])
    }
    entries = [
        (row, code[word], count) for row, words in enumerate(counted) for word, count in words.items() if word in code
    ]
    rows, columns, counts = np.array(entries, np.int64).reshape(-1, 3).T
    idf = np.log(len(documents) / np.array([frequencies[word] for word in code] or [1]))
    weights = (1 + np.log(counts)) * idf[columns]
    lengths = np.sqrt(np.bincount(rows, weights**2, len(documents)))
    return csr_array((weights / lengths[rows], (rows, columns)), shape=(len(documents), len(code)))


def embed(words: Any, rank: int) -> NDArray[np.float32]:
    """float32 (D, rank): vectors of length 1, zeros for a document without words; their products are nearest to those of the rows.

    Args:
        words: the matrix of `tf_idf`.
        rank: their length.
    """
    values, vectors = _largest(words.T @ words, rank)
    found = words @ vectors
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    result = np.zeros((words.shape[0], rank), np.float32)
    result[:, : len(values)] = np.where(lengths > _NOTHING, found / np.maximum(lengths, _NOTHING), 0.0)
    return result


def factors_of(symmetric: Any, rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The positive part of the best approximation of that rank, ``V diag(values) V'``.

    Args:
        symmetric: sparse (n, n).
        rank: how many dimensions, at most.

    Returns:
        The values, float64 (r,), descending and above 0, and V, float64 (n, r).
    """
    values, vectors = _largest(symmetric, rank)
    return values[values > 0], vectors[:, values > 0]


def singular(matrix: Any, rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The best approximation of that rank, ``left diag(values) right'``.

    Args:
        matrix: sparse (n, n).
        rank: how many dimensions, at most.

    Returns:
        left, float64 (n, r), the values, float64 (r,), descending and above 0, and right, float64 (n, r).

    Raises:
        DataError: ARPACK finds none.
    """
    count = matrix.shape[0]
    if not matrix.nnz:
        return np.zeros((count, 0)), np.zeros(0), np.zeros((count, 0))
    if count <= rank + 1:
        left, values, turned = np.linalg.svd(matrix.toarray())
    else:
        from scipy.sparse.linalg import ArpackError, svds

        try:
            left, values, turned = svds(matrix, rank, v0=_start(count), rng=0)
        except ArpackError as error:
            raise DataError(f"ARPACK finds no factors of rank {rank} of {count:,} items.") from error
    order = np.argsort(-values, kind="stable")[:rank]
    order = order[values[order] > 0]
    right = turned[order].T
    signs = _signs(right)
    return left[:, order] * signs, values[order], right * signs


def _largest(symmetric: Any, rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The eigenpairs of the largest eigenvalues, descending, the largest component of each vector positive."""
    count = symmetric.shape[0]
    if not symmetric.nnz:  # nothing to find, and ARPACK would fail
        values, vectors = np.zeros(0), np.zeros((count, 0))
    elif rank == 0 or count <= rank + 1:
        values, vectors = np.linalg.eigh(symmetric.toarray())
    else:
        from scipy.sparse.linalg import eigsh

        values, vectors = eigsh(symmetric, rank, which="LA", v0=_start(count))
    order = np.argsort(-values, kind="stable")[:rank]
    values, vectors = values[order], vectors[:, order]
    return values, vectors * _signs(vectors)


def _start(count: int) -> NDArray[np.float64]:
    """Where ARPACK starts, always the same."""
    return np.random.default_rng(0).standard_normal(count)


def _signs(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Float64 (r,): what makes the largest component of each column positive."""
    columns = np.arange(vectors.shape[1])
    return (
        np.where(vectors[np.abs(vectors).argmax(axis=0), columns] < 0, -1.0, 1.0)
        if vectors.size
        else np.ones(len(columns))
    )
