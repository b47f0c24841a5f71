"""Hand-made features, for methods that do not read text, pictures, sounds or series.

Two forms of each modality: a matrix for linear models, and columns for trees. Both are
learned from the training rows, and neither looks at the target. Pictures are described
by histograms of gradients and colours, sounds by log-mel statistics, series by
statistics of their channels, as the package's own `features` makes them.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.common.tasks import Part
from skfusion.modalities import AudioModality, ImageModality, SeriesModality

MODALITIES = {"audio": AudioModality, "image": ImageModality, "series": SeriesModality}
SHORT = 8  # texts with fewer words, by the median, are also described by their letters
N_COMPONENTS = 100
MAX_CATEGORIES = 250  # of one column of a tree; scikit-learn allows 255

Matrix = np.ndarray | sparse.csr_matrix


class Described(TransformerMixin, BaseEstimator):
    """The `features` of a modality of the package."""

    def __init__(self, kind):
        self.kind = kind

    def fit_transform(self, X, y=None):
        """Learn the modality, and describe the same rows."""
        self.modality_ = MODALITIES[self.kind]()
        return self.modality_.features(self.modality_.fit_transform(X))

    def fit(self, X, y=None):
        """Learn the modality."""
        self.fit_transform(X)
        return self

    def transform(self, X):
        """Describe other rows."""
        return self.modality_.features(self.modality_.transform(X))


class Stacked(TransformerMixin, BaseEstimator):
    """A column of arrays as one matrix."""

    def fit(self, X, y=None):
        """Nothing to learn."""
        return self

    def transform(self, X):
        """One row a cell."""
        return np.stack(X.iloc[:, 0].to_list())


class Words(TransformerMixin, BaseEstimator):
    """TF-IDF of words and pairs; of short texts, also of their letters."""

    def fit(self, X, y=None):
        """Learn the words."""
        texts = self._texts(X)
        words = {"sublinear_tf": True, "min_df": 2, "strip_accents": "unicode"}
        parts = [TfidfVectorizer(ngram_range=(1, 2), **words)]
        if np.median([len(text.split()) for text in texts]) < SHORT:
            letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **words)
            parts.append(letters)
        self.union_ = make_union(*parts).fit(texts)
        return self

    def transform(self, X):
        """One sparse row a text."""
        return self.union_.transform(self._texts(X)).astype(np.float64)

    @staticmethod
    def _texts(X):
        return X.iloc[:, 0].fillna("").astype(str).to_list()


class UnitNorm(TransformerMixin, BaseEstimator):
    """Divide a matrix by the mean norm of its rows.

    Blocks of 5 and of 1,000 columns then weigh the same side by side, and one range of
    penalties suits them all.
    """

    def fit(self, X, y=None):
        """Learn the mean norm."""
        squares = X.multiply(X) if sparse.issparse(X) else X * X
        norms = np.sqrt(np.asarray(squares.sum(axis=1)).ravel())
        self.norm_ = float(norms.mean()) or 1.0
        return self

    def transform(self, X):
        """Divide."""
        return X / self.norm_


class Columns(TransformerMixin, BaseEstimator):
    """A table for trees: numbers as they are, categories as pandas' own dtype."""

    def fit(self, X, y=None):
        """Learn the categories, the most frequent of each column."""
        self.categories_ = {
            name: X[name].value_counts().index[:MAX_CATEGORIES]
            for name in X
            if not pd.api.types.is_numeric_dtype(X[name])
        }
        return self

    def transform(self, X):
        """Unknown categories are missing."""
        dtypes = {c: pd.CategoricalDtype(v) for c, v in self.categories_.items()}
        return X.assign(**{c: _categories(X[c], d) for c, d in dtypes.items()})


def _categories(column: pd.Series, dtype: pd.CategoricalDtype) -> pd.Categorical:
    codes = dtype.categories.get_indexer(column)
    return pd.Categorical.from_codes(codes, dtype=dtype)


def _table(X: pd.DataFrame) -> Any:
    numeric = [c for c in X if pd.api.types.is_numeric_dtype(X[c])]
    categories = [c for c in X if c not in numeric]
    impute = SimpleImputer(strategy="median", add_indicator=True)
    return make_column_transformer(
        (make_pipeline(impute, StandardScaler()), numeric),
        (OneHotEncoder(handle_unknown="ignore"), categories),
    )


class Features:
    """What each modality of some rows becomes, learned from the training rows.

    Parameters
    ----------
    train : Part
    trees : bool
        Columns for trees instead of matrices for linear models.
    seed : int
    """

    def __init__(self, train: Part, *, trees: bool, seed: int = 0) -> None:
        self.trees = trees
        self.seed = seed
        self.columns = {name: columns for name, _, columns in train.modalities}
        self.steps = {
            name: self._steps(kind, train.X[columns])
            for name, kind, columns in train.modalities
        }
        self.train = {
            name: self._named(name, step.fit_transform(train.X[self.columns[name]]))
            for name, step in self.steps.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        """What is needed for other rows."""
        return {k: v for k, v in self.__dict__.items() if k != "train"}

    def transform(self, part: Part) -> dict[str, Any]:
        """Each modality of other rows."""
        return {
            name: self._named(name, step.transform(part.X[self.columns[name]]))
            for name, step in self.steps.items()
        }

    def _steps(self, kind: str, X: pd.DataFrame) -> Any:
        if kind == "text":
            if not self.trees:
                return Words()
            return make_pipeline(
                Words(), TruncatedSVD(N_COMPONENTS, random_state=self.seed)
            )
        if kind == "tabular":
            return Columns() if self.trees else make_pipeline(_table(X), UnitNorm())
        described = Stacked() if kind == "vector" else Described(kind)
        if self.trees:
            return described
        return make_pipeline(described, StandardScaler(), UnitNorm())

    def _named(self, name: str, values: Any) -> Any:
        """The columns of trees need names of their own."""
        if not self.trees:
            return sparse.csr_matrix(values) if sparse.issparse(values) else values
        if isinstance(values, pd.DataFrame):
            return values
        names = [f"{name}.{i}" for i in range(values.shape[1])]
        return pd.DataFrame(np.asarray(values, dtype=np.float32), columns=names)


def joined(blocks: dict[str, Any]) -> Any:
    """All modalities side by side: one matrix, or one frame."""
    parts = list(blocks.values())
    if isinstance(parts[0], pd.DataFrame):
        frame = pd.concat(parts, axis=1)
        # LightGBM refuses names with the characters of JSON.
        return frame.set_axis([f"f{i}" for i in range(frame.shape[1])], axis=1)
    if any(sparse.issparse(part) for part in parts):
        return sparse.hstack(parts, format="csr")
    return np.hstack(parts)


class Mixed:
    """A frame in which some kinds of modality stay as they are.

    The others become columns of features, learned from the training rows.
    """

    def __init__(self, train: Part, keep: set[str], seed: int) -> None:
        self.kept = [m for m in train.modalities if m[1] in keep]
        described = [m for m in train.modalities if m[1] not in keep]
        self.features = None
        if described:
            part = train._replace(modalities=described)
            self.features = Features(part, trees=True, seed=seed)
        self.train = self._frame(train, self.features and self.features.train)

    def __getstate__(self) -> dict[str, Any]:
        """What is needed for other rows."""
        return {k: v for k, v in self.__dict__.items() if k != "train"}

    def columns(self, kind: str) -> list[str]:
        """Columns of the modalities of a kind."""
        return [c for _, k, columns in self.kept if k == kind for c in columns]

    def transform(self, part: Part) -> pd.DataFrame:
        """Other rows."""
        return self._frame(part, self.features and self.features.transform(part))

    def _frame(self, part: Part, described: dict[str, Any] | None) -> pd.DataFrame:
        kept = [c for *_, columns in self.kept for c in columns]
        return pd.concat([part.X[kept], *(described or {}).values()], axis=1)
