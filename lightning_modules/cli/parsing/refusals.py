"""jsonargparse's errors in one line that names the option and what may have been meant."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection, Iterable, Sequence

from lightning_modules.cli.parsing.argparse_internals import (
    lacks_value,
    missing_arguments,
    of_argument,
    takes_no_value,
    unknown_arguments,
)
from lightning_modules.cli.parsing.habits import HABITS, answer, folder_answer
from lightning_modules.cli.parsing.jsonargparse_internals import (
    classes,
    given_value,
    literals,
    nested_option,
    of_keys,
    took_value_for_config,
    tuple_length,
    unknown_key,
)

_MANY = 10
_ALIKE = 0.75
_OF_CLASSES = ("callbacks", "logger", "profiler")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list such as [a, b]",
    "tuple": "a list such as [a, b]",
    "dict": "a mapping such as {a: 1}",
    "str": "a text",
    "NoneType": "null",
}


def explain(message: str, given: Sequence[str], known: Collection[str]) -> str:
    """Return an error of the parser as one line.

    Args:
        message: jsonargparse's or argparse's own words.
        given: Names of the options and settings that were given, on the command line and in configs.
        known: Names of all options.
    """
    if unknown := unknown_arguments(message):
        return _unrecognized(unknown, given, known)
    if key := unknown_key(message):
        # `--model.width` is refused as `width`, which `model.network.width` of a config ends with too.
        full = full_name(key, [each for each in given if each not in known] or given)
        prefix = full.removesuffix(key)
        parts = (each for each in known if not each.startswith(prefix) and each != "help")
        here = {prefix + each for each in parts if prefix}
        return no_option(full, {*known, *here})
    if missing := missing_arguments(message):
        return _lacking(missing, given)
    if (argument := of_argument(message)) and "--" in argument.name:
        return f"--{argument.name.partition('--')[2]} {_needs(argument.what)}"
    keys, said = of_keys(message)
    if not keys:
        return " ".join(message.split())
    name = full_name(keys[-1], given)
    if took_value_for_config(said) and name in _sections(known):
        return _is_a_section(name, known)
    return f"--{name}{_wanted(said)}"


def no_option(name: str, known: Collection[str]) -> str:
    """Return that there is no such option, and what may have been meant."""
    section = name.partition(".")[0]
    parts = name.split(".")
    for at in range(len(parts)):  # `model.optimizer.lr` is asked for as `lr` is
        said = answer(".".join(parts[at:]))
        if said is not None and (at == 0 or f"--{section}." in said):
            return said.replace(f"--{'.'.join(parts[at:])} ", f"--{name} ", 1)
    near = nearest(name, known)
    hint = f" Did you mean {' or '.join(f'--{each}' for each in near)}?" if near else ""
    return f"--{name} is not an option.{hint}"


def nearest(refused: str, known: Collection[str]) -> list[str]:
    """Return up to two known options that begin or look like a refused one, or whose last part does."""
    known = [name for name in sorted(known) if not f"{refused}.".startswith(f"{name}.")]
    begun = [name for name in known if name.startswith(refused)]
    if begun:
        return begun[:2]
    section, _, part = refused.rpartition(".")

    def likeness(name: str) -> float:
        last = name.rpartition(".")[2] if name.startswith(section) else ""
        return max(_ratio(refused, name), _ratio(part, last))

    alike = {name: likeness(name) for name in known}
    return sorted((name for name in known if alike[name] >= _ALIKE), key=alike.__getitem__, reverse=True)[:2]


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def full_name(key: str, given: Collection[str]) -> str:
    """Return the option that is meant by the end of its name, as a class's own parser knows it."""
    if key in ("data.seed", "model.seed"):
        return "seed_everything"
    if key in given:
        return key
    ends = [name for name in given if name.endswith(f".{key}")]
    return max(ends, key=len) if ends else key


def _unrecognized(tokens: Sequence[str], given: Collection[str], known: Collection[str]) -> str:
    names = [token.partition("=")[0] for token in tokens]
    wrong = [name.lstrip("-") for name in names if name.startswith("-") and name.lstrip("-")]
    if not wrong:
        return (
            f"'{tokens[0]}' lacks its dashes: --{tokens[0]}."
            if names[0] in known
            else folder_answer(tokens[0])
        )
    return " ".join(no_option(full_name(name, given), known) for name in wrong)


def _needs(what: str) -> str:
    if lacks_value(what):
        return "needs a value."
    if takes_no_value(what):
        return "takes no value."
    return " ".join(what.split())


def _lacking(names: Sequence[str], given: Sequence[str]) -> str:
    """Return what a class that an option names is not made without."""
    of = [name.removesuffix("+") for name in given if name.split(".")[-1].rstrip("+") in _OF_CLASSES]
    section = f"{of[-1]}." if len(set(of)) == 1 else ""
    return f"a value is missing: {', '.join(f'--{section}{name}' for name in names)}."


def _sections(known: Iterable[str]) -> set[str]:
    return {name[:at] for name in known for at, letter in enumerate(name) if letter == "."}


def _is_a_section(name: str, known: Collection[str]) -> str:
    if name.replace("-", "_") in HABITS:
        return str(answer(name))
    parts = sorted(each for each in known if each.startswith(f"{name}."))[:3]
    return f"--{name} is a section: give its options, such as {', '.join(f'--{part}' for part in parts)}."


def _wanted(said: str) -> str:
    """Return what a value must be and what was given, from jsonargparse's lines on its type."""
    names, kinds_of = literals(said), classes(said)
    kinds = [_KINDS[each] for each in kinds_of if each in _KINDS]
    of_classes = [name for each in kinds_of for name in _subclasses(each)]
    own = of_classes if len(of_classes) <= _MANY else []
    if of_classes and not own:
        kinds.append("the name of a class")
    if (count := tuple_length(said)) is not None:
        kinds = [f"{count} values such as [a, b]"]
    value = given_value(said)
    wanted = [*names, *own, *kinds]
    if not wanted or value is None:
        return f": {' '.join(said.split())}"
    if option := nested_option(value):
        return (
            f" must be named if its {option} is set: {_listed([name for name in wanted if name != 'null'])}."
        )
    words = [name for name in (*names, *of_classes) if not name.isdigit()]
    near = difflib.get_close_matches(value, words, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    one_of = "one of " if len([*names, *own]) > 1 else ""
    return f" must be {one_of}{_listed(wanted)}, not '{value}'.{hint}"


def _subclasses(path: str) -> list[str]:
    """Return the names of the classes that may be given for a base class, if it is loaded and has any."""
    module, _, name = path.rpartition(".")
    base = getattr(sys.modules.get(module), name, None)
    if not isinstance(base, type) or module == "builtins":
        return []
    classes: list[type] = base.__subclasses__()
    return sorted(each.__name__ for each in classes if not each.__name__.startswith("_"))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
