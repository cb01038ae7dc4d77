"""Copies files from and to object stores, as far as this TensorFlow knows them."""

from __future__ import annotations

import os

import tensorflow as tf

from hfmnas_keras.addresses import scheme_of


def check_address(path: str | os.PathLike) -> None:
    """Sees that this TensorFlow can read what has the scheme of a path.

    Raises:
        ValueError: when it cannot.
    """
    scheme = scheme_of(path)
    known = sorted(each for each in tf.io.gfile.get_registered_schemes() if each)
    if scheme and scheme not in known:
        raise ValueError(
            f"This TensorFlow knows no scheme {scheme!r}, of {os.fspath(path)!r}, but {known}. Install and import "
            "what brings it, mount the bucket and give the path of the mount, or copy the files."
        )


def is_file(path: str) -> bool:
    """Whether there is a file to read, at a path or an address.

    A named pipe, a device and a socket are none: reading them would wait, or never end.
    """
    if scheme_of(path):
        return tf.io.gfile.exists(path) and not tf.io.gfile.isdir(path)
    return os.path.isfile(path)


def copy_file(source: str, target: str) -> None:
    """Copies a file, from or to an address or not; folders of the target are made, a file that is there is replaced.

    Raises:
        ValueError: for a scheme that this TensorFlow does not know.
        FileNotFoundError: when there is no such file.
    """
    for path in (source, target):
        check_address(path)
    tf.io.gfile.makedirs(os.path.dirname(target))
    if scheme_of(target) == "ram" and tf.io.gfile.exists(target):
        # TensorFlow's file system in memory would write behind what is there.
        tf.io.gfile.remove(target)
    try:
        tf.io.gfile.copy(source, target, overwrite=True)
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(f"There is no file {source!r}.") from error


def copy_folder(source: str, target: str, last: str | None = None) -> None:
    """Copies all files below a folder into another; what else lies there stays, unlike with TFX's `copy_dir`.

    Args:
        source: str. The folder.
        target: str. Is made.
        last: str or None. Name of a file in `source` that is copied after all others, for readers that wait for it.
    """
    for path in (source, target):
        check_address(path)
    source = source.rstrip("/")
    names = [
        os.path.normpath(os.path.join(os.path.relpath(folder.rstrip("/"), source), name))
        for folder, _, files in tf.io.gfile.walk(source)
        for name in files
    ]
    for name in sorted(names, key=lambda name: name == last):
        copy_file(os.path.join(source, name), os.path.join(target, name))
