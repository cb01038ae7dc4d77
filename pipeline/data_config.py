"""The `data` part of a run's configuration: which source, and its settings. One class a source."""

from __future__ import annotations

import functools
import inspect
import os
from typing import Annotated, Any, ClassVar, Literal, get_args, get_type_hints

import pydantic

from hfmnas_keras.addresses import absolute_path

DATA_VARIABLE = "HFMNAS_DATA"
_Share = Annotated[float, pydantic.Field(ge=0, le=1)]


class InconsistencyData(pydantic.BaseModel):
    """Whose text is replaced; see `components.multimodal_example_gen.inconsistency.Inconsistency`.

    Args:
        rate: float in [0, 1]. Share of each split's rows. In HARM of the harmful ones.
        seed: int. Which rows. Defaults to `0`.
        policy: str or None. By whose text: `"shares_label"`, `"other_label"` or, for HARM, `"not_harmful"`. `None`
            (default) is the first for data with several labels a row, the third for HARM, else the second.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    rate: _Share
    seed: int = 0
    policy: Literal["shares_label", "other_label", "not_harmful"] | None = None


class SourceData(pydantic.BaseModel):
    """What every source can be told.

    The fields of a subclass, beside the `source`'s name, are arguments of the source's class in
    `components.multimodal_example_gen`. Of a source that another package registers the subclass is made of its class.

    Args:
        source: str. Its name.
        schema_file: str or None. Schema of the raw examples, relative to the configuration file. `None` (default)
            takes the one in `schemas/`.
        fingerprint_by: str or None. What tells the cache that the data changed: `"content"` reads every byte of them
            whenever the pipeline is made, `"metadata"` takes size and modification time, for many gigabytes. `None`
            (default) takes the source's own, which is `"metadata"` for the sets of many gigabytes.
        inconsistency: `InconsistencyData` or None. For experiments: a share of the texts is replaced by other rows'.
            `None` (default) leaves them alone. Only for sources with texts.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    #: The two modalities of the source's class.
    modalities: ClassVar[tuple[str, ...]] = ("text", "image")
    #: Settings that are paths relative to the configuration file.
    paths: ClassVar[tuple[str, ...]] = ("schema_file",)
    #: Settings of `preparation` that the source's class takes too.
    shared: ClassVar[tuple[str, ...]] = ()
    #: Whether a row of the source may have several labels; `None`: `preparation` says.
    multi_label: ClassVar[bool | None] = None
    #: Settings that are not the source's.
    not_the_sources: ClassVar[frozenset[str]] = frozenset({"source", "schema_file", "fingerprint_by", "inconsistency"})

    source: str
    schema_file: str | None = None
    fingerprint_by: Literal["content", "metadata"] | None = None
    inconsistency: InconsistencyData | None = None

    @pydantic.field_validator("inconsistency")
    @classmethod
    def _has_texts(cls, inconsistency: InconsistencyData | None) -> InconsistencyData | None:
        if inconsistency is not None and "text" not in cls.modalities:
            raise ValueError(f"it replaces texts, and this source has the modalities {cls.modalities}: leave it out")
        return inconsistency


class FolderData(SourceData):
    """What the sources share whose files lie in a folder, in the layout that their authors distribute.

    Args:
        data_root: str or None. The folder, relative to the configuration file. `None` (default) is the folder
            `default_folder` below that which the environment variable `HFMNAS_DATA` names, and below `data` in the
            current folder where it is not set. So a preset needs no editing.
    """

    paths: ClassVar[tuple[str, ...]] = ("data_root", "schema_file")
    #: Name of the data set's folder.
    default_folder: ClassVar[str]

    data_root: str | None = None

    def default_root(self) -> str:
        """Returns the absolute folder of the data where the configuration names none."""
        root = os.path.expanduser(os.environ.get(DATA_VARIABLE) or "data")
        return absolute_path(os.path.join(root, self.default_folder))


class DemoData(SourceData):
    """The embedded pictures and words.

    Args:
        source: `"demo"`.
        seed: int. Which of the splits by group. Defaults to `0`.
    """

    multi_label = False

    source: Literal["demo"] = "demo"
    seed: int = 0


class ManifestData(SourceData):
    """The user's own JSONL or CSV; see `components.multimodal_example_gen.sources.manifest_source.ManifestSource`.

    Args:
        source: `"manifest"`.
        manifest: str. Path, relative to the configuration file. With `{SPAN}` in place of a whole number, the file of
            the greatest one is read: `rows-{SPAN}.jsonl`; with `{VERSION}`, too, the greatest version of it.
        data_root: str or None. Folder of the pictures, relative to the configuration file. `None` (default) is the
            manifest's folder.
        strict: bool. Whether a bad row stops the run instead of being skipped and counted. Defaults to `True`.
        split_ratios: three floats. Train, dev and test, where the manifest has no `split`.
        seed: int. Of that split. Defaults to `0`.
        max_image_pixels, max_image_bytes: ints or None. Bounds of a picture; `None` takes the source's own.
        columns: mapping or None. What the manifest calls its columns, such as `{text: description}`.
    """

    paths = ("manifest", "data_root", "schema_file")
    shared = ("classes", "multi_label")

    source: Literal["manifest"]
    manifest: str
    data_root: str | None = None
    strict: bool = True
    split_ratios: tuple[_Share, _Share, _Share] = (0.7, 0.1, 0.2)
    seed: int = 0
    max_image_pixels: pydantic.PositiveInt | None = None
    max_image_bytes: pydantic.PositiveInt | None = None
    columns: dict[Literal["id", "split", "text", "image", "label", "labels"], str] | None = None


class MmimdbData(FolderData):
    """MM-IMDB; see `components.multimodal_example_gen.sources.mmimdb_source.MmimdbSource`.

    The genres are `preparation.classes`.

    Args:
        source: `"mmimdb"`.
        plot: str. Which of a movie's plots is its text: `"longest"` (default), `"first"` or `"outline"`.
    """

    shared = ("classes",)
    multi_label = True
    default_folder = "mmimdb"

    source: Literal["mmimdb"]
    plot: Literal["longest", "first", "outline"] = "longest"


class MmimdbHdf5Data(FolderData):
    """MM-IMDB as one HDF5 file; see `components.multimodal_example_gen.sources.mmimdb_hdf5_source.MmimdbHdf5Source`.

    The genres are `preparation.classes`.

    Args:
        source: `"mmimdb_hdf5"`.
    """

    shared = ("classes",)
    multi_label = True
    default_folder = "mmimdb"

    source: Literal["mmimdb_hdf5"]


class HarmData(FolderData):
    """HARM-C or HARM-P; see `components.multimodal_example_gen.sources.harm_source.HarmSource`.

    Two or three classes: as many as `preparation.classes` names.

    Args:
        source: `"harm"`.
        subset: str. `"C"` (COVID-19) or `"P"` (US politics).
        annotations: str or None. Folder of the JSON lines below the data's; `None` (default) is that of MOMENTA's
            repository, `HarMeme_V1/Annotations/Harm-C` or `-P`.
        images: str. Folder of the pictures below the data's. Defaults to `"images"`.
        empty_label: str. What the label "" means: `"very harmful"` (default, as in MOMENTA's code) or `"skip"`.
        drop_repeated: bool. Whether training rows whose text is also in dev or test are left out. Defaults to `False`.
    """

    shared = ("classes",)
    multi_label = False
    default_folder = "harm"

    source: Literal["harm"]
    subset: Literal["C", "P"]
    annotations: str | None = None
    images: str = "images"
    empty_label: Literal["very harmful", "skip"] = "very harmful"
    drop_repeated: bool = False


class NtuData(FolderData):
    """NTU RGB+D; see `components.multimodal_example_gen.sources.ntu_source.NtuSource`.

    The actions are `preparation.classes`.

    Args:
        source: `"ntu"`.
        rgb_folder, skeleton_folder: str or None. Folders below the data's; `None` (default) finds the usual ones.
        split: str. `"paper"` (default), `"bmnas"`, `"cross_subject"` or `"cross_view"`.
        missing_list: str or None. The authors' list of clips without skeletons, relative to the configuration file.
        missing_skeletons: str. What becomes of them: `"drop"` (default) or `"zero_fill"`.
        max_frames, max_skeleton_frames: ints. Frames kept of a video and of a skeleton.
        short_side: int. Larger video frames are scaled down to it.
        jpeg_quality: int. Of the frames in the examples.
        strict: bool. Whether an unusable clip stops the run instead of being skipped and counted.
    """

    modalities = ("skeleton", "video")
    paths = ("data_root", "missing_list", "schema_file")
    shared = ("classes",)
    multi_label = False
    default_folder = "ntu"

    source: Literal["ntu"]
    rgb_folder: str | None = None
    skeleton_folder: str | None = None
    split: Literal["paper", "bmnas", "cross_subject", "cross_view"] = "paper"
    missing_list: str | None = None
    missing_skeletons: Literal["drop", "zero_fill"] = "drop"
    max_frames: pydantic.PositiveInt = 24
    max_skeleton_frames: pydantic.PositiveInt = 300
    short_side: pydantic.PositiveInt = 256
    jpeg_quality: pydantic.PositiveInt = 90
    strict: bool = False


class EgoGestureData(FolderData):
    """EgoGesture; see `components.multimodal_example_gen.sources.egogesture_source.EgoGestureSource`.

    The gestures are `preparation.classes`.

    Args:
        source: `"egogesture"`.
        max_frames: int. Frames kept of a segment.
        short_side: int. Larger frames are scaled down to it.
        strict: bool. Whether an unusable segment stops the run instead of being skipped and counted.
    """

    modalities = ("depth", "video")
    shared = ("classes",)
    multi_label = False
    default_folder = "egogesture"

    source: Literal["egogesture"]
    max_frames: pydantic.PositiveInt = 64
    short_side: pydantic.PositiveInt = 240
    strict: bool = False


#: The classes above by the name of their source.
SOURCE_DATA: dict[str, type[SourceData]] = {
    get_args(data.model_fields["source"].annotation)[0]: data
    for data in (DemoData, ManifestData, MmimdbData, MmimdbHdf5Data, HarmData, NtuData, EgoGestureData)
}


@functools.cache
def source_data(source: str) -> type[SourceData]:
    """Class of the `data` part of a source, which another package may have registered.

    Raises:
        ValueError: when there is no such source.
    """
    if source in SOURCE_DATA:
        return SOURCE_DATA[source]
    # Only here: it takes TFX's import.
    from components.multimodal_example_gen.sources.source import SOURCES

    source_class = SOURCES[source]
    hints = get_type_hints(source_class.__init__)
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(source_class).parameters.items()
    }
    shared = tuple(name for name in ("classes", "multi_label") if fields.pop(name, None))
    # The class of pydantic's classes.
    metaclass: Any = type(SourceData)
    base = metaclass(
        f"{source_class.__name__}Data",
        (SourceData,),
        {
            "__module__": __name__,
            "modalities": tuple(source_class.modalities),
            "paths": (*source_class.paths, "schema_file"),
            "shared": shared,
            "multi_label": None if "multi_label" in shared else source_class.multi_label,
        },
    )
    fields |= {"source": (Literal[source], source), "schema_file": (str | None, source_class.schema_file)}
    return pydantic.create_model(base.__name__, __base__=base, **fields)


def _of_its_source(content: Any) -> Any:
    """Checks the `data` part by the class of the source that it names."""
    if not isinstance(content, dict):
        return content
    if not isinstance(source := content.get("source"), str):
        raise ValueError(f"`source` must be a name, such as {', '.join(SOURCE_DATA)}. Received: {source!r}.")
    return source_data(source).model_validate(content)


DataConfig = Annotated[pydantic.SerializeAsAny[SourceData], pydantic.BeforeValidator(_of_its_source)]
