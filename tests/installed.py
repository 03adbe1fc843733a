"""A package of which tests install versions, without a package manager."""

import shutil
from pathlib import Path

from kdtune.catalog import source_digest


def package_site(folder: Path, monkeypatch) -> Path:
    """Return a folder of installed packages, with the package ``fruit_lib``, which must not be imported."""
    site = folder / "site"
    (site / "fruit_lib").mkdir(parents=True)
    (site / "fruit_lib" / "__init__.py").write_text("raise RuntimeError('imported while it is identified')\n")
    monkeypatch.setattr(source_digest, "_INSTALLED", {site, *source_digest._INSTALLED})
    monkeypatch.syspath_prepend(site)
    return site


def install(site: Path, version: str) -> None:
    """Install a version of ``fruit_lib``, whose distribution is called ``fruitlib``, in place of any other."""
    for old in site.glob("*.dist-info"):
        shutil.rmtree(old)
    info = site / f"fruitlib-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fruitlib\nVersion: {version}\n")
    (info / "RECORD").write_text("fruit_lib/__init__.py,,\n")
