"""The cats of the Oxford-IIIT Pet data set: photographs of twelve breeds."""

from __future__ import annotations

import re
import shutil
import tarfile
import tempfile
from pathlib import Path

from datamodules.index.index import DataError
from datamodules.sources.download import download
from datamodules.sources.source import DataSource
from datamodules.utils.io import publish, sync
from datamodules.utils.places import as_path
from datamodules.utils.progress import progress

_SITE = "https://thor.robots.ox.ac.uk/~vgg/data/pets"
_IMAGES_SHA256 = "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d"
_ANNOTATIONS_SHA256 = "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91"

_SPECIES_CAT = "1"
_NAME = re.compile(r"(?P<breed>\w+)_\d+", re.ASCII)  # British_Shorthair_12; never a path


class OxfordPetCats(DataSource):
    """About 2,400 photographs of cats of twelve breeds, from the Oxford-IIIT Pet data set.

    Downloads 810 MB once (Parkhi, Vedaldi, Zisserman & Jawahar 2012, "Cats and dogs"; CC BY-SA 4.0) into
    `<folder>/oxford-iiit-pet`, keeps the images that the published list calls cats, and puts them into
    `<folder>/oxford-pet-cats/<breed>/`. The archives may be deleted afterwards.

    Args:
        folder: Where to put both.
        images_url: Archive of the images.
        annotations_url: Archive of the annotations, with the list of species.
        images_sha256: Checksum of the images' archive.
        annotations_sha256: Checksum of the annotations' archive.
    """

    def __init__(
        self,
        folder: str | Path = "data",
        images_url: str = f"{_SITE}/images.tar.gz",
        annotations_url: str = f"{_SITE}/annotations.tar.gz",
        images_sha256: str = _IMAGES_SHA256,
        annotations_sha256: str = _ANNOTATIONS_SHA256,
    ) -> None:
        self.folder = as_path("--data.source.init_args.folder", folder) or Path()
        self.images_url, self.images_sha256 = images_url, images_sha256
        self.annotations_url, self.annotations_sha256 = annotations_url, annotations_sha256

    def prepare(self) -> Path:
        """Download and unpack the cats unless they are there; return their folder.

        Raises:
            DataError: There is no network, an archive is damaged, or its content is not as published.
        """
        target = self.folder / "oxford-pet-cats"
        if target.is_dir():
            return target
        archives = self.folder / "oxford-iiit-pet"
        images, annotations = archives / "images.tar.gz", archives / "annotations.tar.gz"
        download(self.annotations_url, annotations, self.annotations_sha256)  # the small one fails first
        download(self.images_url, images, self.images_sha256)
        cats = _listed_cats(annotations)
        temporary = Path(tempfile.mkdtemp(dir=self.folder, prefix=".oxford-pet-cats-"))
        try:
            _extract(images, cats, temporary)
            temporary.chmod(0o755)  # mkdtemp lets nobody else in
            publish(temporary, target)
        except OSError as error:
            if not target.is_dir():  # else another process published the same in the meantime
                raise DataError(f"the cats cannot be unpacked into {target} ({error})") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return target


def _listed_cats(annotations: Path) -> dict[str, str]:
    """Breed by image name, of the cats in the published list.

    Each line of `annotations/list.txt` is "name class species breed", with species 1 for cats and 2 for dogs.
    """
    try:
        with tarfile.open(annotations) as archive:
            member = archive.extractfile("annotations/list.txt")
            lines = member.read().decode().splitlines() if member else []
    except (tarfile.TarError, OSError, EOFError, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"{annotations} holds no readable annotations/list.txt ({error})") from error
    cats: dict[str, str] = {}
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        fields = line.split()
        name = _NAME.fullmatch(fields[0])
        if len(fields) != 4 or name is None:
            raise DataError(f"{annotations}: cannot understand the line {line!r} of annotations/list.txt")
        if fields[2] == _SPECIES_CAT:
            cats[fields[0]] = name["breed"]
    if not cats:
        raise DataError(f"{annotations}: annotations/list.txt names no cat")
    return cats


def _extract(images: Path, cats: dict[str, str], folder: Path) -> None:
    """Write the listed cats to `<folder>/<breed>/<name>.jpg`.

    Only bytes are taken from the archive: the names come from the list, so no member can lie elsewhere.
    """
    wanted = {f"images/{name}.jpg": Path(breed) / f"{name}.jpg" for name, breed in cats.items()}
    try:
        with (
            tarfile.open(images) as archive,
            progress(total=len(wanted), desc="unpacking cats") as bar,
        ):
            for member in archive:
                if member.isreg() and member.name in wanted and (content := archive.extractfile(member)):
                    path = folder / wanted.pop(member.name)
                    path.parent.mkdir(exist_ok=True)
                    with path.open("wb") as file:
                        shutil.copyfileobj(content, file)
                        sync(file)
                    bar.update()
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{images} cannot be unpacked ({error})") from error
    if wanted:
        raise DataError(f"{images} lacks {len(wanted)} of {len(cats)} listed cats, among them {min(wanted)}")
