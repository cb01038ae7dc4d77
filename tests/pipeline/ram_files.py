"""Beam's way to TensorFlow's file system in memory, as it has one to each kind of bucket."""

from __future__ import annotations

import io
import posixpath

import tensorflow as tf
from apache_beam.io.filesystem import CompressedFile, CompressionTypes, FileMetadata, FileSystem


class _Written(io.BytesIO):
    """A file that is there when it is closed, as an object in a bucket is."""

    mode = "wb"

    def __init__(self, path):
        super().__init__()
        self._path = path

    def close(self):
        if not self.closed:
            with tf.io.gfile.GFile(self._path, "wb") as file:
                file.write(self.getvalue())
        super().close()


class _Read(io.BytesIO):
    mode = "rb"


class RamFileSystem(FileSystem):
    """Reads and writes `ram://`."""

    @classmethod
    def scheme(cls):
        return "ram"

    def join(self, basepath, *paths):
        return posixpath.join(basepath, *paths)

    def split(self, path):
        return posixpath.split(path)

    def mkdirs(self, path):
        tf.io.gfile.makedirs(path)

    def has_dirs(self):
        return True

    def _list(self, dir_or_prefix):
        for folder, _, names in tf.io.gfile.walk(dir_or_prefix):
            for name in names:
                yield self.metadata(posixpath.join(folder, name))

    def create(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        self._remove(path)
        tf.io.gfile.makedirs(posixpath.dirname(path))
        return self._opened(_Written(path), path, compression_type)

    def open(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        with tf.io.gfile.GFile(path, "rb") as file:
            return self._opened(_Read(file.read()), path, compression_type)

    def _opened(self, file, path, compression_type):
        kind = CompressionTypes.detect_compression_type(path)
        kind = kind if compression_type == CompressionTypes.AUTO else compression_type
        return file if kind == CompressionTypes.UNCOMPRESSED else CompressedFile(file, kind)

    def copy(self, source_file_names, destination_file_names):
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            self._remove(target)
            tf.io.gfile.makedirs(posixpath.dirname(target))
            tf.io.gfile.copy(source, target)

    def rename(self, source_file_names, destination_file_names):
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def exists(self, path):
        return tf.io.gfile.exists(path)

    def size(self, path):
        return tf.io.gfile.stat(path).length

    def last_updated(self, path):
        return tf.io.gfile.stat(path).mtime_nsec / 1e9

    def metadata(self, path):
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths):
        for path in paths:
            self._remove(path)

    def _remove(self, path):
        if tf.io.gfile.isdir(path):
            tf.io.gfile.rmtree(path)
        elif tf.io.gfile.exists(path):
            tf.io.gfile.remove(path)
