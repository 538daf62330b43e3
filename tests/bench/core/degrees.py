"""Degrees as they are against degrees plus 10, and a converged decomposition against a stopped one.

The decomposition of Gowalla with degreeExponent 0.5 and no two-hop term is compared on a random tenth
of the training set and on the test set. The fit is ours: the matrix is scaled here by the degrees to
be compared and decomposed without a degree exponent, and items are scaled back. With 10 added that is
what the fit does itself, which a fit of its own confirms.

The residual of a singular vector v with value σ is ‖AᵀAv − σ²v‖ / σ².
"""

import argparse
from pathlib import Path

import numpy as np
import results
import scipy.sparse as sp
from data import visits
from defaults import limit_users
from ours import Ours
from ranking import of_each_user
from time_to_ndcg import split

ADDED = [10.0, 0.0]


def scaled(train: sp.csr_matrix, added: float) -> tuple[sp.csr_matrix, np.ndarray]:
    """Returns the matrix over the square roots of its degrees, and those of the items."""
    roots = [np.sqrt(np.maximum(np.asarray(train.sum(axis=axis)).ravel() + added, 1.0)) for axis in (1, 0)]
    return sp.csr_matrix(sp.diags(1 / roots[0]) @ train @ sp.diags(1 / roots[1]), dtype=np.float32), roots[1]


def residuals(matrix: sp.csr_matrix, items: np.ndarray) -> np.ndarray:
    """Returns the residual of each singular vector; the columns of `items` are vectors times values."""
    values = np.linalg.norm(items.astype(float), axis=0)
    vectors = items / values
    return np.linalg.norm(matrix.T @ (matrix @ vectors) - vectors * values**2, axis=0) / values**2


def measured(train: sp.csr_matrix, test: sp.csr_matrix, options: argparse.Namespace) -> dict[tuple[float, int], dict]:
    """Returns recalls, NDCGs and residuals for each added degree and number of iterations."""
    found = {}
    for added in ADDED:
        matrix, roots = scaled(train, added)
        ours = Ours(matrix)
        for iterations in options.iterations:
            ours.svd(options.factors, iterations, 0.0)
            users, items = ours.factors()
            recall, ndcg = of_each_user(users, items * roots[:, None].astype(np.float32), train, test)
            residual = residuals(matrix, items)
            found[added, iterations] = {"recall": recall, "ndcg": ndcg, "residual": residual}
            print(f"+{added:g}, {iterations} iterations: {figures(found[added, iterations])}", flush=True)
    return found


def figures(of: dict) -> str:
    """Formats means and residuals."""
    residual = of["residual"]
    return (
        f"{of['recall'].mean():.4f}/{of['ndcg'].mean():.4f}, residual {np.median(residual):.1e} in the median, {residual.max():.1e} at most"
    )


def mean_item_degree(train: sp.csr_matrix, test: sp.csr_matrix) -> float:
    """Returns the mean degree in the training set of the item of a test entry."""
    return float(np.asarray(train.sum(axis=0)).ravel()[test.tocoo().col].mean())


def own_fit(train: sp.csr_matrix, test: sp.csr_matrix, options: argparse.Namespace) -> str:
    """Formats the means of a fit that scales by degrees itself."""
    ours = Ours(train)
    ours.svd(options.factors, options.iterations[0], 0.5)
    recall, ndcg = of_each_user(*ours.factors(), train, test)
    return f"{recall.mean():.4f}/{ndcg.mean():.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="train.txt of the Gowalla split; see `run`")
    parser.add_argument("test", type=Path, help="test.txt of the Gowalla split")
    parser.add_argument("--factors", type=int, default=1024)
    parser.add_argument("--iterations", type=int, nargs="+", default=[6, 24], help="of the stopped and of the converged fit")
    parser.add_argument("--sampled", action="store_true", help="evaluate 5,000 users of the test set, not all")
    options = parser.parse_args()
    train, test = visits(options.train), visits(options.test)
    shape = tuple(max(sizes) for sizes in zip(train.shape, test.shape))
    train.resize(shape), test.resize(shape)
    part, held_out = split(train, 7)
    held_out = limit_users(held_out)
    test = limit_users(test) if options.sampled else test
    for name, history, relevant in [("a tenth of the training set", part, held_out), ("the test set", train, test)]:
        found = measured(history, relevant, options)
        # The fit that scales by degrees itself, as a confirmation.
        own = "" if options.sampled else f"fitted by degreeExponent itself {own_fit(history, relevant, options)}; "
        stopped = options.iterations[0]
        difference = found[0.0, stopped]["ndcg"] - found[10.0, stopped]["ndcg"]
        error = difference.std() / np.sqrt(len(difference))
        listed = "; ".join(
            f"{'degrees' if added == 0 else f'degrees + {added:g}'}, {iterations} iterations: {figures(of)}"
            for (added, iterations), of in found.items()
        )
        mean = lambda of, figure: float(of[figure].mean())
        results.replace({
            "name": "gowalla_degrees",
            "setting": f"SVD, {options.factors} factors, degreeExponent 0.5; recall@20/NDCG@20 of {len(difference)} users on {name}: {listed}; difference of the NDCGs, degrees less degrees + 10, "
            f"with {stopped} iterations {difference.mean():+.4f} ± {error:.4f} (standard error over the same users); "
            f"{own}"
            f"mean degree of the item of a test entry {mean_item_degree(history, relevant):.1f}",
            "ours": {"recall20": mean(found[10.0, stopped], "recall"), "ndcg20": mean(found[10.0, stopped], "ndcg")},
            "peer": {"recall20": mean(found[0.0, stopped], "recall"), "ndcg20": mean(found[0.0, stopped], "ndcg")},
            "peer_name": "the same without 10 added to degrees",
            "data": name,
            "factors": options.factors,
            "command": f"tests/bench/core/run degrees train.txt test.txt --factors {options.factors} --iterations {' '.join(map(str, options.iterations))}"
            + (" --sampled" if options.sampled else ""),
        }, "data", "factors")  # fmt: skip


if __name__ == "__main__":
    main()
