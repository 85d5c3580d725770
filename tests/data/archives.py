"""Small encoded images, packed in files for the tests."""

import io
import tarfile

import numpy as np
from PIL import Image


def picture(seed, size=8):
    return np.random.RandomState(seed).randint(0, 256, (size, size, 3)).astype(np.uint8)


def encoded(image, kind="png"):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def write_tar(path, members, **options):
    """Writes a tar of {name: bytes or text}, or of pairs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = members.items() if isinstance(members, dict) else members
    with tarfile.open(path, "w", **options) as tar:
        for name, content in pairs:
            content = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def samples(numbers, label=lambda number: str(number % 2)):
    """Members of samples with a picture of the number and a label."""
    members = {}
    for number in numbers:
        members[f"{number:04d}.png"] = encoded(picture(number))
        members[f"{number:04d}.cls"] = label(number)
    return members
