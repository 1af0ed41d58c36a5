"""Finding backends: what is listed, what is broken and why, and what is never imported."""

from __future__ import annotations

import json
import re
from pathlib import Path

import halfclose
import pytest
from core.support import TWISTED, VARIANTS, Site, plugin, python
from halfclose import BackendInfo

FRAMEWORKS = ["twisted", "anyio", "trio", "uvloop"]

LOADED = (
    "import json, sys; "
    f"print(json.dumps([n for n in {[*FRAMEWORKS, 'asyncio']} if n in sys.modules]))"
)

# What load_backend(NAME) does, as data.
ASK = """
    import json, halfclose

    def ask(name):
        try:
            backend = halfclose.load_backend(name)
        except Exception as error:
            causes, cause = [], error.__cause__
            while cause is not None:
                causes.append([type(cause).__name__, str(cause)])
                cause = cause.__cause__
            return [type(error).__name__, str(error), causes]
        return [f"{backend.__module__}:{backend.__name__}"]

    print(json.dumps([ask(name) for name in NAMES]))
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def ask(site: Site, *names: str) -> list[list[object]]:
    found = json.loads(site.python(ASK.replace("NAMES", repr(list(names)))))
    assert isinstance(found, list)
    return found


# -- listing -----------------------------------------------------------------------------------


def test_ours_are_listed() -> None:
    found = halfclose.available_backends()
    assert set(VARIANTS) | {"anyio", "twisted"} <= set(found)
    assert list(found) == sorted(found)
    for name in VARIANTS:
        info = found[name]
        family = name.partition("+")[0]
        assert info == BackendInfo(
            name, f"halfclose-{family}", info.version, f"halfclose_{family}.plugin"
        )
        assert info.version


def test_listing_imports_nothing(site: Site) -> None:
    site.module("loud", "raise AssertionError('imported')")
    site.distribution("loud-backend", {"loud": "loud", "loud+er": "loud:attr"}, "2.5")
    site.distribution("missing-backend", {"missing": "no_such_module"})
    out = site.python(
        """
        import halfclose, sys
        for info in halfclose.available_backends().values():
            print(info.name, info.distribution, info.version, info.entry_point)
        assert "loud" not in sys.modules
        """
    )
    assert out.splitlines() == [
        "loud loud-backend 2.5 loud",
        "loud+er loud-backend 2.5 loud:attr",
        "missing missing-backend 1.0 no_such_module",
    ]


def test_listing_ours_imports_no_plugin_and_no_framework() -> None:
    out = python(
        f"""
        import halfclose
        assert len(halfclose.available_backends()) >= 8
        import sys
        assert not [name for name in sys.modules if name.startswith("halfclose_")]
        {LOADED}
        """
    )
    assert json.loads(out) == []


def test_nothing_installed(site: Site) -> None:
    assert site.python("import halfclose; print(halfclose.available_backends())") == "{}\n"


@pytest.mark.parametrize(
    "module", ["halfclose", "halfclose_twisted.plugin", "halfclose_anyio.plugin"]
)
def test_importing_is_light(module: str) -> None:
    """The plugins alone; what their package's __init__ imports counts too."""
    out = python(f"import {module}, json, sys; print(json.dumps(list(sys.modules)))")
    roots = {name.partition(".")[0] for name in json.loads(out)}
    assert not roots & {*FRAMEWORKS, "asyncio"}


def test_loading_every_plugin_and_choosing_imports_no_framework() -> None:
    out = python(
        f"""
        from halfclose.discovery import select_backend
        print(select_backend(None, running=True), select_backend(None, running=False))
        {LOADED}
        """
    )
    chosen, loaded = out.splitlines()
    assert chosen == "anyio anyio"
    assert json.loads(loaded) == []


@pytest.mark.parametrize("name", TWISTED)
def test_loading_a_twisted_backend_installs_no_reactor(name: str) -> None:
    python(
        f"""
        import sys, halfclose
        halfclose.load_backend({name!r})
        halfclose.load_backend("twisted")
        import halfclose_twisted
        assert "twisted.internet.reactor" not in sys.modules
        """
    )


@pytest.mark.parametrize("name", [*VARIANTS, "anyio", "twisted"])
def test_ours_load(name: str) -> None:
    assert issubclass(halfclose.load_backend(name), halfclose.Backend)
    assert halfclose.load_backend(name) is halfclose.load_backend(name)


# -- what is broken ----------------------------------------------------------------------------

BROKEN = {
    "raises": ("raise ZeroDivisionError('at import')", "ZeroDivisionError", "at import"),
    "needs": ("import no_such_framework", "ModuleNotFoundError", "no_such_framework"),
    "syntax": ("def (", "SyntaxError", ""),
    "hook": (
        """
        from halfclose import hookimpl
        @hookimpl
        def halfclose_backends():
            raise LookupError("in the hook")
        """,
        "LookupError",
        "in the hook",
    ),
    "signature": (
        """
        from halfclose import hookimpl
        @hookimpl
        def halfclose_backends(nonsense):
            return []
        """,
        "PluginValidationError",
        "nonsense",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_told_when_asked_for_and_harms_no_other(site: Site, kind: str) -> None:
    source, cause, detail = BROKEN[kind]
    site.module("broken_module", source)
    site.distribution("broken-dist", {"abroken": "broken_module"})
    site.module("good_module", plugin("good", module="good_module"))
    site.distribution("good-dist", {"good": "good_module"})
    before, broken, again, after = ask(site, "good", "abroken", "abroken", "good")
    assert before == after == ["good_module:Fake"]
    # The second time too, though the module is not imported again.
    for found in (broken, again):
        assert found[0] == "BackendLoadError"
        message, causes = found[1], found[2]
        assert isinstance(message, str)
        assert "broken-dist" in message
        assert "broken_module" in message
        assert "'abroken'" in message
        assert isinstance(causes, list)
        assert causes, f"no __cause__: {message}"
        assert causes[0][0] == cause
        assert detail in causes[0][1]
        assert cause in message
        assert detail in message


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_does_not_keep_the_default_from_being_found(site: Site, kind: str) -> None:
    source, cause, _ = BROKEN[kind]
    site.module("broken_module", source)
    site.distribution("broken-dist", {"abroken": "broken_module"})
    site.module("good_module", plugin("good", module="good_module"))
    site.distribution("good-dist", {"good": "good_module"})
    out = site.python(
        """
        import halfclose
        print(halfclose.run(None))
        try:
            halfclose.run(None, backend="abroken")
        except halfclose.BackendLoadError as error:
            print(type(error.__cause__).__name__)
        """
    )
    assert out.splitlines() == ["good_module ran good", cause]


def test_a_module_that_is_not_there(site: Site) -> None:
    site.distribution("gone-dist", {"gone": "gone_module"})
    site.distribution("no-attribute", {"none": "json:nonsense"})
    gone, none = ask(site, "gone", "none")
    assert gone[0] == none[0] == "BackendLoadError"
    assert "gone-dist" in str(gone[1])
    assert "gone_module" in str(gone[1])
    assert "ModuleNotFoundError" in str(gone[2])
    assert "no-attribute" in str(none[1])
    assert "AttributeError" in str(none[2])


def test_the_failure_is_an_import_error_of_ours() -> None:
    assert issubclass(halfclose.BackendLoadError, ImportError)
    assert issubclass(halfclose.BackendLoadError, halfclose.BackendError)
    assert issubclass(halfclose.BackendNotFound, LookupError)
    assert issubclass(halfclose.BackendNotFound, halfclose.BackendError)
    assert issubclass(halfclose.BackendError, halfclose.HalfcloseError)


def test_an_entry_point_whose_plugin_offers_no_such_name(site: Site) -> None:
    site.module("other_module", plugin("other", module="other_module"))
    site.distribution("odd-dist", {"promised": "other_module"})
    [found] = ask(site, "promised")
    assert found[0] == "BackendLoadError"
    assert "odd-dist" in str(found[1])
    assert "'promised'" in str(found[1])


def test_an_implementation_that_is_not_there(site: Site) -> None:
    site.module(
        "bad_module",
        """
        from halfclose import BackendSpec, hookimpl
        @hookimpl
        def halfclose_backends():
            return [
                BackendSpec("bad", "no_such_thing:Backend", install="pip install the-thing"),
                BackendSpec("bad+attr", "json:Backend"),
                BackendSpec("bad+form", "json"),
            ]
        """,
    )
    names = ["bad", "bad+attr", "bad+form"]
    site.distribution("bad-dist", dict.fromkeys(names, "bad_module"))
    for name, found in zip(names, ask(site, *names), strict=True):
        assert found[0] == "BackendLoadError"
        assert f"'{name}'" in str(found[1])
        assert "bad-dist" in str(found[1])
        assert "bad_module" in str(found[1])
        assert found[2], "no __cause__"
    hint = str(ask(site, "bad")[0][1]).partition("; to install what is missing: ")[2]
    assert " install " in hint
    assert hint.endswith(" the-thing")


@pytest.mark.parametrize(
    ("name", "package", "install"),
    [
        ("twisted", "halfclose_twisted", "halfclose-twisted"),
        ("twisted+epoll", "halfclose_twisted", "halfclose-twisted"),
        ("twisted+uvloop", "halfclose_twisted", "'halfclose-twisted[uvloop]'"),
        ("anyio", "halfclose_anyio", "halfclose-anyio"),
        ("anyio+trio", "halfclose_anyio", "'halfclose-anyio[trio]'"),
        ("anyio+uvloop", "halfclose_anyio", "'halfclose-anyio[uvloop]'"),
    ],
)
def test_ours_without_its_framework_tells_what_to_install(
    site: Site, name: str, package: str, install: str
) -> None:
    """The distribution is there and what it needs is not.

    Its package imports the framework for `as_factory` or `serve_stream`, and the plugin is in
    that package; the command must be told all the same.
    """
    site.link(package)
    site.distribution(package.replace("_", "-"), {name: f"{package}.plugin"})
    [found] = ask(site, name)
    assert found[0] == "BackendLoadError"
    assert package.replace("_", "-") in str(found[1])
    assert "ModuleNotFoundError" in str(found[2])
    hint = str(found[1]).partition("; to install what is missing: ")[2]
    assert " pip install " in hint
    assert hint.endswith(f" {install}")


# -- names -------------------------------------------------------------------------------------


def test_two_plugins_with_one_name(site: Site) -> None:
    for letter in "ab":
        site.module(f"twin_{letter}", plugin("twin", module=f"twin_{letter}"))
        site.distribution(f"dist-{letter}", {"twin": f"twin_{letter}"})
    site.module("good_module", plugin("good", module="good_module"))
    site.distribution("good-dist", {"good": "good_module"})
    twin, good = ask(site, "twin", "good")
    assert twin[0] == "BackendLoadError"
    for expected in ("'twin'", "dist-a", "dist-b", "twin_a", "twin_b"):
        assert expected in str(twin[1])
    assert good == ["good_module:Fake"]


def test_two_distributions_with_one_module(site: Site) -> None:
    """Of two names: each is offered once, by one plugin."""
    site.module("shared", plugin("one", "two", module="shared"))
    site.distribution("dist-one", {"one": "shared"})
    site.distribution("dist-two", {"two": "shared"})
    assert ask(site, "one", "two") == [["shared:Fake"], ["shared:Fake"]]


def test_one_distribution_twice_on_the_path(site: Site, tmp_path: Path) -> None:
    site.module("good_module", plugin("good", module="good_module"))
    site.distribution("good-dist", {"good": "good_module"})
    other = tmp_path / "other"
    other.mkdir()
    (other / "good_dist-1.0.dist-info").symlink_to(site.path / "good_dist-1.0.dist-info")
    out = site.python(
        "import halfclose; print(halfclose.run(None), len(halfclose.available_backends()))",
        PYTHONPATH=f"{site.path}:{other}",
    )
    assert out == "good_module ran good 1\n"


@pytest.mark.parametrize("name", ["twisted", "anyio"])
def test_a_backend_that_is_not_installed_is_named_with_its_install_command(
    site: Site, name: str
) -> None:
    site.module("good_module", plugin("good", module="good_module"))
    site.distribution("good-dist", {"good": "good_module", "good+fast": "good_module"})
    plain, variant = ask(site, name, f"{name}+uvloop")
    for found in (plain, variant):
        assert found[0] == "BackendNotFound"
        assert "good, good+fast" in str(found[1])
        assert re.search(f" pip install .*halfclose-{name}$", str(found[1]))
        assert f"halfclose-{name}+" not in str(found[1])


def test_a_variant_of_ours_is_not_hidden_behind_a_close_name(site: Site) -> None:
    """With the other distribution installed some names are close; the command is told still."""
    site.link("halfclose_anyio")
    names = ["anyio", "anyio+asyncio", "anyio+uvloop", "anyio+trio"]
    site.distribution("halfclose-anyio", dict.fromkeys(names, "halfclose_anyio.plugin"))
    for name, found in zip(TWISTED, ask(site, *TWISTED), strict=True):
        assert found[0] == "BackendNotFound", name
        assert re.search(" pip install .*halfclose-twisted$", str(found[1])), name


def test_nothing_is_installed_at_all(site: Site) -> None:
    out = site.python(
        """
        import halfclose
        for call in (lambda: halfclose.run(None), lambda: halfclose.open_backend()):
            try:
                call()
            except halfclose.BackendNotFound as error:
                print(error)
        """
    )
    lines = out.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.search(
            " pip install .*halfclose-anyio or .* pip install .*halfclose-twisted", line
        )
    assert "none" in str(ask(site, "x")[0][1])


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("twistd", "twisted"),
        ("Twisted", "twisted"),
        ("twisted+epol", "twisted+epoll"),
        ("twisted-select", "twisted+select"),
        ("anyio+tiro", "anyio+trio"),
        ("anyio-trio", "anyio+trio"),
        ("anyio+asynco", "anyio+asyncio"),
    ],
)
def test_close_names(wrong: str, right: str) -> None:
    with pytest.raises(halfclose.BackendNotFound) as caught:
        halfclose.load_backend(wrong)
    message = str(caught.value)
    assert repr(wrong) in message
    for name in halfclose.available_backends():
        assert name in message
    assert "Did you mean" in message
    assert right in message.partition("Did you mean")[2]
    # What is installed already is not what is missing.
    assert " install " not in message


@pytest.mark.parametrize("name", ["", " ", "a b", "x; rm -rf /", "x\n", "'", "../x", "$(x)"])
def test_no_command_is_made_of_a_name_that_is_none(name: str) -> None:
    with pytest.raises(halfclose.BackendNotFound) as caught:
        halfclose.load_backend(name)
    assert repr(name) in str(caught.value)
    assert "pip install" not in str(caught.value)


@pytest.mark.parametrize("name", [1, b"anyio", object], ids=repr)
def test_a_name_is_a_string(name: object) -> None:
    with pytest.raises(TypeError, match="name"):
        halfclose.load_backend(name)  # type: ignore[arg-type]


# -- a program's own plugin --------------------------------------------------------------------


def test_a_registered_plugin_offers_a_backend(site: Site) -> None:
    site.module("own", plugin("own", module="own"))
    out = site.python(
        """
        import halfclose, own
        halfclose.register(own)
        print(halfclose.run(None, backend="own"), halfclose.run(None))
        try:
            halfclose.register(own)
        except ValueError:
            print("twice")
        halfclose.unregister(own)
        try:
            halfclose.load_backend("own")
        except halfclose.BackendNotFound:
            print("gone")
        try:
            halfclose.unregister(own)
        except ValueError:
            print("not there")
        """
    )
    assert out.splitlines() == ["own ran own own ran own", "twice", "gone", "not there"]
