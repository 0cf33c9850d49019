"""What the front end installs: by name, and checked by what it holds."""

from __future__ import annotations

import json

from tests.frontend.parity import FRONT_END

LOCK = json.loads((FRONT_END / "package-lock.json").read_text(encoding="utf-8"))
PACKAGES = {name: package for name, package in LOCK["packages"].items() if name}


def test_every_package_has_its_digest_and_no_address() -> None:
    inside = {name for name, package in PACKAGES.items() if package.get("inBundle")}
    assert [name for name in PACKAGES.keys() - inside if "integrity" not in PACKAGES[name]] == []
    assert [name for name, package in PACKAGES.items() if "resolved" in package] == []


def test_what_a_visitor_gets_is_onnxruntime_alone() -> None:
    manifest = json.loads((FRONT_END / "package.json").read_text(encoding="utf-8"))
    assert list(manifest["dependencies"]) == ["onnxruntime-web"]
    assert manifest["private"] is True
