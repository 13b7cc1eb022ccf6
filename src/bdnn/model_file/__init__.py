"""Model files: versioned JSON without pickle, with floats that round-trip exactly and every value checked on load.

A file holds the network and, where known, the settings and the result of its training and how its table was read.
"""

from bdnn.model_file.contents import EnsembleMember, EnsembleModel, Model, TableInfo
from bdnn.model_file.reading import load_any, load_model
from bdnn.model_file.writing import check_size, save_model

__all__ = [
    "EnsembleMember",
    "EnsembleModel",
    "Model",
    "TableInfo",
    "check_size",
    "load_any",
    "load_model",
    "save_model",
]
