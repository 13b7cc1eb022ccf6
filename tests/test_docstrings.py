"""Every public name is documented, and the documented parameters are the real ones."""

import dataclasses
import importlib
import inspect
import pkgutil
import re

import pytest

import bdnn

SECTIONS = {"Parameters", "Returns", "Yields", "Receives", "Other Parameters", "Raises", "Warns", "Attributes",
            "Methods", "See Also", "Notes", "References", "Examples", "Warnings"}  # fmt: skip

MODULES = [
    bdnn,
    *(importlib.import_module(info.name) for info in pkgutil.walk_packages(bdnn.__path__, "bdnn.")),
]


def public_things():
    """(full name, object) of the functions, classes and methods that the package defines and does not hide."""
    for module in MODULES:
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(thing):
                yield f"{module.__name__}.{name}", thing
                yield from methods_of(thing, f"{module.__name__}.{name}")
            elif inspect.isfunction(thing):
                yield f"{module.__name__}.{name}", thing


def methods_of(cls, full_name):
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        if isinstance(member, property) or inspect.isfunction(member):
            yield f"{full_name}.{name}", member


THINGS = dict(public_things())
MODULE_NAMES = {module.__name__ for module in MODULES}


def module_of(full_name):
    while full_name not in MODULE_NAMES:
        full_name = full_name.rpartition(".")[0]
    return full_name


def by_module(names):
    """Cases of a test, one for each module: thousands of tests would take longer to be collected than to run."""
    found = {}
    for name in names:
        found.setdefault(module_of(name), []).append(name)
    return pytest.mark.parametrize("names", found.values(), ids=found)


EXPORTED = [getattr(bdnn, name) for name in bdnn.__all__]


def sections(doc):
    """Sections of a numpydoc docstring by title; the part before the first one has the title ''."""
    lines, found, title = inspect.cleandoc(doc).splitlines(), {"": []}, ""
    for k, line in enumerate(lines):
        if k + 1 < len(lines) and line and re.fullmatch("-{3,}", lines[k + 1]):
            title = line
            assert title not in found, f"section {title} occurs twice"
            found[title] = []
            assert len(lines[k + 1]) == len(title), f"the line under {title} has another length"
        elif not re.fullmatch("-{3,}", line):
            found[title].append(line)
    return found


def described(lines):
    """Names that a Parameters or Attributes section describes, in order."""
    heads = [line.split(" : ")[0] for line in lines if line and not line.startswith(" ")]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def parameters(thing):
    target = thing.__init__ if inspect.isclass(thing) and not dataclasses.is_dataclass(thing) else thing
    names = [p.name for p in inspect.signature(target).parameters.values()]
    return [name for name in names if name not in ("self", "cls")]


def has_parameters(thing):
    return not isinstance(thing, property) and bool(parameters(thing))


@by_module(THINGS)
def test_docstrings_are_numpydoc(names):
    for name in names:
        doc = inspect.getdoc(THINGS[name])
        assert doc, f"{name} has no docstring"
        assert THINGS[name].__doc__, f"{name} only inherits its docstring"
        parts = sections(doc)
        summary = "\n".join(parts[""]).split("\n\n")[0]
        assert summary.rstrip()[-1] in ".;:", f"the summary of {name} does not end with a full stop"
        assert set(parts) - {""} <= SECTIONS, name
        for title, lines in parts.items():
            assert any(line.strip() for line in lines), f"section {title} of {name} is empty"


DESCRIBED = [n for n, t in THINGS.items() if has_parameters(t) and "Parameters" in sections(t.__doc__ or "")]


@by_module(DESCRIBED)
def test_documented_parameters_are_the_real_ones(names):
    for name in names:
        thing, parts = THINGS[name], sections(THINGS[name].__doc__)
        attributes = described(parts.get("Attributes", []))
        expected = parameters(thing)
        if inspect.isclass(thing):
            # fields that are derived, not given, are attributes
            expected = [p for p in expected if p not in attributes]
        assert described(parts["Parameters"]) == expected, name


def test_most_things_are_described_by_parameter():
    assert len(DESCRIBED) > 150


def cut_off(doc):
    """Descriptions of parameters, results and the like that do not end as sentences do, and marks of what is left."""
    found = []
    for title, lines in sections(doc).items():
        found += [line for line in lines if re.search(r"\b(XX+|TODO|FIXME|TBD|\?\?\?)(?!\w)", line)]
        if title in ("Parameters", "Returns", "Yields", "Raises", "Warns", "Attributes"):
            blocks = "\n".join(line if line.startswith(" ") else "" for line in lines).split("\n\n")
            found += [block for block in map(str.strip, blocks) if block and block[-1] not in ".:;"]
    return found


@by_module(THINGS)
def test_no_description_is_cut_off(names):
    for name in names:
        assert not cut_off(inspect.getdoc(THINGS[name]) or ""), name


def test_a_description_that_is_cut_off_is_found():
    doc = "Do.\n\nReturns\n-------\nlist\n    Rows and their multipliers. No\nXX\n\nNotes\n-----\nMore.\n"
    assert cut_off(doc) == ["XX", "Rows and their multipliers. No"]
    assert cut_off(doc.replace("No\nXX", "None if there are none.")) == []


WITH_ATTRIBUTES = [
    n for n, t in THINGS.items() if dataclasses.is_dataclass(t) and "Attributes" in sections(t.__doc__ or "")
]


@by_module(WITH_ATTRIBUTES)
def test_attributes_of_dataclasses_are_real_and_none_is_missing(names):
    for name in names:
        thing = THINGS[name]
        parts, fields = sections(thing.__doc__), [f.name for f in dataclasses.fields(thing)]
        assert set(described(parts["Attributes"])) <= {*fields, *vars(thing)}, name
        unnamed = [f for f in fields if not re.search(rf"\b{f}\b", thing.__doc__)]
        assert not unnamed, f"the docstring of {name} does not name {', '.join(unnamed)}"


def exported_with_parameters():
    for name, thing in THINGS.items():
        owner = next(
            (e for e in EXPORTED if inspect.isclass(e) and name.startswith(f"{e.__module__}.{e.__name__}.")), None
        )
        if (thing in EXPORTED or owner is not None) and has_parameters(thing) and thing is not bdnn.Result:
            if not (inspect.isclass(thing) and issubclass(thing, Exception | bdnn.Status)):
                yield name


@pytest.mark.parametrize("name", list(exported_with_parameters()))
def test_what_users_call_names_all_its_parameters(name):
    thing = THINGS[name]
    if name.count(".") == 2 or "\n" in thing.__doc__:
        assert "Parameters" in sections(thing.__doc__), f"{name} has no Parameters section"
    else:
        # one line is enough for a method if it names what it takes
        missing = [p for p in parameters(thing) if not re.search(rf"\b{p}\b", thing.__doc__)]
        assert not missing, f"the docstring of {name} does not name {', '.join(missing)}"


def test_exported_names_exist_and_are_documented():
    assert len(set(bdnn.__all__)) == len(bdnn.__all__)
    for name in bdnn.__all__:
        assert inspect.getdoc(getattr(bdnn, name))
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        getattr(bdnn, "missing")  # noqa: B009  # a bare attribute would be a useless expression


def test_every_module_says_what_it_is():
    for module in MODULES:
        first = (module.__doc__ or "").strip().split("\n")[0]
        assert first.rstrip().endswith((".", ",")), module.__name__


def test_the_reader_of_docstrings():
    doc = """Do something.

    Parameters
    ----------
    X, y : arrays
        Data : of any kind.
    *rest : int
        More.

    Returns
    -------
    int
        One.
    """
    parts = sections(doc)
    assert list(parts) == ["", "Parameters", "Returns"]
    assert described(parts["Parameters"]) == ["X", "y", "rest"]
    with pytest.raises(AssertionError, match="another length"):
        sections("Do.\n\nReturns\n----\nint\n")
