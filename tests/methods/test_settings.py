"""Settings of methods are checked by name, in one place for all."""

import pickle
from dataclasses import fields, replace

import pytest

from bdnn.errors import InputError
from bdnn.methods import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_a_misspelt_setting_is_refused_with_the_names_there_are(method):
    with pytest.raises(InputError, match=f"'{method}' has no setting 'incumbants'; its settings are ") as error:
        METHODS[method](incumbants="none")
    for field in fields(METHODS[method]):
        assert field.name in str(error.value)


@pytest.mark.parametrize("method", METHODS)
def test_methods_are_values(method):
    made = METHODS[method]()
    assert made == METHODS[method]() == replace(made) == pickle.loads(pickle.dumps(made))
    assert made.name == method and not hasattr(made, "__dict__")
