"""NTU RGB+D as its authors distribute it: a colour video and a skeleton file a clip."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np

from components.multimodal_example_gen.readers import ntu_skeleton
from components.multimodal_example_gen.readers.video_decoder import check_video_support, read_clip
from components.multimodal_example_gen.record import inside, read_bounded
from components.multimodal_example_gen.row import Row, Skip, SkipRowError
from components.multimodal_example_gen.sources.ntu_classes import ACTIONS
from components.multimodal_example_gen.sources.source import Listing, Source, mounted_root

#: Where the archives unpack to, and the names in the code of MFAS and BM-NAS.
RGB_FOLDERS = ("nturgb+d_rgb", "nturgb+d_rgb_256x256_30", "nturgbd_rgb/avi_256x256_30", "nturgbd_rgb")
SKELETON_FOLDERS = ("nturgb+d_skeletons", "nturgbd_skeletons")
#: Table I of the paper.
PUBLISHED_ROWS = {"train": 23760, "dev": 2519, "test": 16558}
PUBLISHED_NOTE = (
    "Its training rows are those of eight subjects, the exploration split of BM-NAS. The authors' list of names gives "
    "23760, 2520 and 16560, and without the 302 clips that have no skeleton 23633, 2509 and 16487"
)

#: The training subjects of the authors' cross-subject protocol; the other 20 are its test split.
CROSS_SUBJECT_TRAIN = frozenset((1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38))
DEV_SUBJECTS = frozenset((2, 5, 9, 14))
EXPLORATION_SUBJECTS = frozenset((1, 8, 15, 17, 19, 27, 31, 35))
TEST_CAMERA = 1

_CLIP = re.compile(
    r"S(?P<setup>\d{3})C(?P<camera>\d{3})P(?P<performer>\d{3})R(?P<replication>\d{3})A(?P<action>\d{3})", re.ASCII
)
_VIDEO_SUFFIX, _SKELETON_SUFFIX = "_rgb.avi", ".skeleton"
_LAST = {"setup": 17, "camera": 3, "performer": 40, "replication": 2, "action": len(ACTIONS)}
#: Of the later NTU RGB+D 120, whose files bear names of the same form.
_LAST_OF_120 = {"setup": 32, "camera": 3, "performer": 106, "replication": 2, "action": 120}
_MAX_LIST_BYTES = 16 * 1024 * 1024


class NtuSource(Source):
    """NTU RGB+D, 60 actions: `S001C001P001R001A001_rgb.avi` and `S001C001P001R001A001.skeleton`.

    Videos and skeletons are paired by the clip's name, never by the order of two listings, and may lie one folder
    deeper (one a setup). Files with other names are ignored, clips of NTU RGB+D 120 too, but counted.

    | split | train | dev | test |
    | --- | --- | --- | --- |
    | `paper` | subjects 1, 8, 15, 17, 19, 27, 31, 35 | subjects 2, 5, 9, 14 | official: the 20 other subjects |
    | `cross_subject` | the official 20 training subjects without dev | as above | as above |
    | `bmnas` | the rows of `cross_subject`, which BM-NAS uses | | |
    | `cross_view` | cameras 2 and 3, without dev | of cameras 2 and 3 the subjects 2, 5, 9, 14 | camera 1 |

    An example has `skeleton`, see `components.multimodal_example_gen.readers.ntu_skeleton.two_bodies`, and `video`, see
    `components.multimodal_example_gen.readers.video_frames.decode`; needs the extra `video`.

    What is left out has a reason: `wrong_name` (a number out of range), `duplicate_clip` (two files of one name),
    `listed_skeleton` (in `missing_list`), `missing_skeleton`, `missing_video`, `path_outside_root`, `file_too_large`,
    `truncated_skeleton`, `broken_skeleton`, `no_body`, `unreadable_video`, `unsupported_video`, `video_too_large`,
    `video_too_long`, `broken_video`, `decoder_crashed`, `decoder_timeout`.

    Args:
        data_root: str. The folder that has both kinds of files below it; on this machine or mounted.
        rgb_folder, skeleton_folder: str or None. Folders of the videos and of the skeletons, from the data root on.
            Default to None: the first there is of `RGB_FOLDERS`, of `SKELETON_FOLDERS`.
        split: str. See above. Defaults to `"paper"`.
        missing_list: str or None. Path of the authors' list of clips without skeletons
            (`NTU_RGBD_samples_with_missing_skeletons.txt`), with or without its header. Defaults to None.
        missing_skeletons: str. `"drop"` (default) leaves the clips of the list out, `"zero_fill"` gives them a skeleton
            of one frame of zeros. A clip that lacks its skeleton without being listed is always left out.
        classes: list of str. Names out of `ACTIONS`; clips of others are ignored. Defaults to all.
        max_frames: int. Frames kept of a video, evenly over all of it. Defaults to 24, as in BM-NAS.
        max_skeleton_frames: int. The same for a skeleton. Defaults to 300.
        short_side: int. Larger video frames are scaled down to it. Defaults to 256.
        jpeg_quality: int. 1 to 95. Defaults to 90.
        strict: bool. Whether one unusable clip stops the run. Defaults to `False`.

    Raises:
        ValueError: for settings out of range.
    """

    name = "ntu"
    paths = ("data_root", "missing_list")
    modalities = ("skeleton", "video")
    attribution = "NTU RGB+D (Shahroudy et al., CVPR 2016; ROSE Lab, NTU Singapore): for research, not to be passed on."
    #: The videos have 136 gigabytes.
    fingerprint_by = "metadata"

    def __init__(
        self,
        data_root: str,
        rgb_folder: str | None = None,
        skeleton_folder: str | None = None,
        split: str = "paper",
        missing_list: str | None = None,
        missing_skeletons: str = "drop",
        classes: Sequence[str] = ACTIONS,
        max_frames: int = 24,
        max_skeleton_frames: int = 300,
        short_side: int = 256,
        jpeg_quality: int = 90,
        strict: bool = False,
    ):
        if split not in NTU_SPLITS:
            raise ValueError(f"`split` must be one of {sorted(NTU_SPLITS)}. Received: {split!r}.")
        if missing_skeletons not in ("drop", "zero_fill"):
            raise ValueError(f"`missing_skeletons` must be 'drop' or 'zero_fill'. Received: {missing_skeletons!r}.")
        if missing_skeletons == "zero_fill" and missing_list is None:
            raise ValueError("`missing_skeletons` is 'zero_fill', so `missing_list` must name the clips to be filled.")
        unknown = sorted(set(classes) - set(ACTIONS))
        if unknown or len(set(classes)) != len(classes) or len(classes) < 2:
            raise ValueError(
                f"`classes` must be two or more different names out of the 60 actions. Received: {list(classes)!r}, "
                f"of which unknown: {unknown}."
            )
        for setting, value, least, largest in (
            ("max_frames", max_frames, 2, 1024),
            ("max_skeleton_frames", max_skeleton_frames, 2, ntu_skeleton.MAX_FILE_FRAMES),
            ("short_side", short_side, 8, 4096),
            ("jpeg_quality", jpeg_quality, 1, 95),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= largest:
                raise ValueError(f"`{setting}` must be a whole number from {least} to {largest}. Received: {value!r}.")
        self.data_root = mounted_root(self.name, data_root)
        self.rgb_folder = rgb_folder
        self.skeleton_folder = skeleton_folder
        self.split = split
        self.missing_list = missing_list
        self.missing_skeletons = missing_skeletons
        self.classes = tuple(classes)
        self.max_frames = max_frames
        self.max_skeleton_frames = max_skeleton_frames
        self.short_side = short_side
        self.jpeg_quality = jpeg_quality
        self.strict = strict
        if split == "paper" and set(classes) == set(ACTIONS):
            self.published_rows: Mapping[str, int] = PUBLISHED_ROWS
            self.published_note = PUBLISHED_NOTE

    def read(self) -> Listing:
        """See `Source.read`.

        Raises:
            RuntimeError: where PyAV is not installed.
        """
        check_video_support()
        videos, skeletons, listed = self._videos(), self._skeletons(), self._listed()
        rows: list[Row] = []
        skipped: list[Skip] = []
        observed: Counter[str] = Counter()
        for name in sorted({*videos, *skeletons}):
            try:
                row = self._row(name, videos.get(name, ()), skeletons.get(name, ()), name in listed, observed)
                if row is not None:
                    rows.append(row)
            except SkipRowError as error:
                skipped.append(Skip(error.reason, name, error.detail, name))
        return Listing(rows=rows, skipped=skipped, classes=self.classes, observed=dict(observed))

    def features(self, row: Row) -> dict[str, bytes | list[bytes] | np.ndarray]:
        """See `Source.features`."""
        # Paths are resolved again: long after the listing, a link may lead elsewhere.
        if row.media["skeleton"] is None:
            shape = (1, ntu_skeleton.BODIES, ntu_skeleton.JOINTS, ntu_skeleton.COORDINATES)
            skeleton = np.zeros(shape, np.float32)
        else:
            path = inside(self.data_root, row.media["skeleton"], "skeleton")
            skeleton = ntu_skeleton.read_skeleton(
                read_bounded(path, ntu_skeleton.MAX_FILE_BYTES), self.max_skeleton_frames
            )
        path = inside(self.data_root, row.media["video"], "video")
        return {
            "skeleton": skeleton,
            "video": read_clip(path, self.max_frames, self.short_side, self.jpeg_quality),
        }

    def row_files(self, row: Row) -> Sequence[str]:
        """See `Source.row_files`."""
        return [inside(self.data_root, path, kind) for kind, path in row.media.items() if path is not None]

    def files(self) -> Iterator[tuple[str, str]]:
        """See `Source.files`."""
        if self.missing_list is not None:
            yield "missing_list", self.missing_list
        for paths in (*self._videos().values(), *self._skeletons().values()):
            for relative in paths:
                try:
                    yield relative, inside(self.data_root, relative, "clip")
                except SkipRowError:
                    # Never opened, so its content is no part of the data.
                    continue

    def _row(
        self, name: str, videos: Sequence[str], skeletons: Sequence[str], is_listed: bool, observed: Counter[str]
    ) -> Row | None:
        """Returns a clip's row, or nothing when it is none of the data set's, the classes' or the split's."""
        clip = cast(re.Match, _CLIP.fullmatch(name))
        numbers = {key: int(value) for key, value in clip.groupdict().items()}
        if _too_large(numbers, _LAST):
            if not _too_large(numbers, _LAST_OF_120):
                observed["clips of NTU RGB+D 120, ignored"] += 1
                return None
            raise SkipRowError("wrong_name", f"{_too_large(numbers, _LAST_OF_120)} is out of range in {name}")
        label = ACTIONS[numbers["action"] - 1]
        if label not in self.classes:
            observed["clips of other actions, ignored"] += 1
            return None
        split = NTU_SPLITS[self.split](numbers["performer"], numbers["camera"])
        if split is None:
            observed[f"clips of subjects outside the split {self.split!r}, ignored"] += 1
            return None
        for kind, paths in (("video", videos), ("skeleton", skeletons)):
            if len(paths) > 1:
                raise SkipRowError("duplicate_clip", f"{len(paths)} {kind} files have this name")
        if not videos:
            raise SkipRowError("missing_video", f"there is no {name}{_VIDEO_SUFFIX}")
        skeleton = skeletons[0] if skeletons else None
        if is_listed:
            if self.missing_skeletons == "drop":
                raise SkipRowError("listed_skeleton", "the list says that its skeleton is missing or incomplete")
            observed["skeletons filled with zeros"] += 1
            skeleton = None
        elif skeleton is None:
            raise SkipRowError("missing_skeleton", f"there is no {name}{_SKELETON_SUFFIX}")
        return Row(
            id=name, split=split, labels=(label,), media={"video": videos[0], "skeleton": skeleton}, place=videos[0]
        )

    def _videos(self) -> dict[str, list[str]]:
        return _clips(self.data_root, self.rgb_folder, RGB_FOLDERS, "rgb_folder", _VIDEO_SUFFIX)

    def _skeletons(self) -> dict[str, list[str]]:
        return _clips(self.data_root, self.skeleton_folder, SKELETON_FOLDERS, "skeleton_folder", _SKELETON_SUFFIX)

    def _listed(self) -> frozenset[str]:
        """Reads the list of clips without skeletons."""
        if self.missing_list is None:
            return frozenset()
        if not os.path.isfile(self.missing_list):
            raise FileNotFoundError(f"There is no list of clips without skeletons at {self.missing_list!r}.")
        try:
            lines = read_bounded(self.missing_list, _MAX_LIST_BYTES).decode("utf-8", "replace").split("\n")
        except SkipRowError as error:
            raise ValueError(f"`missing_list`: {error.detail}.") from error
        # Lines of the header are no names of clips.
        names = (line.strip().removesuffix(_SKELETON_SUFFIX) for line in lines)
        listed = frozenset(name for name in names if _CLIP.fullmatch(name))
        if not listed:
            raise ValueError(
                f"{self.missing_list!r} names no clip: lines like S001C002P005R002A008 are expected. Is it the file "
                "NTU_RGBD_samples_with_missing_skeletons.txt of the data set's authors?"
            )
        return listed


def _clips(root: str, folder: str | None, usual: Sequence[str], setting: str, suffix: str) -> dict[str, list[str]]:
    """Returns the clips in a folder and in those directly below it: their paths from the root on, by name."""
    candidates = usual if folder is None else (folder,)
    found = next((name for name in candidates if os.path.isdir(os.path.join(root, name))), None)
    if found is None:
        raise FileNotFoundError(
            f"There is none of the folders {list(candidates)} in {root!r}. Set `data_root` to the folder of NTU RGB+D "
            f"and `{setting}` to the folder of the files *{suffix} in it."
        )
    try:
        top = inside(root, found, setting)
    except SkipRowError as error:
        raise ValueError(f"{error.detail}. Set `data_root` so that both folders are in it.") from error
    clips: dict[str, list[str]] = {}
    folders = [""]
    for inner in folders:
        for entry in sorted(os.scandir(os.path.join(top, inner)), key=lambda entry: entry.name):
            if not inner and entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif entry.name.endswith(suffix) and _CLIP.fullmatch(name := entry.name.removesuffix(suffix)):
                clips.setdefault(name, []).append(os.path.join(found, inner, entry.name))
    return clips


def _too_large(numbers: Mapping[str, int], last: Mapping[str, int]) -> str:
    """Returns the name of a number that is out of range, or nothing."""
    return next((key for key, value in numbers.items() if not 1 <= value <= last[key]), "")


def _paper_split(performer: int, camera: int) -> str | None:
    if performer in EXPLORATION_SUBJECTS:
        return "train"
    return "dev" if performer in DEV_SUBJECTS else None if performer in CROSS_SUBJECT_TRAIN else "test"


def _cross_subject_split(performer: int, camera: int) -> str | None:
    if performer in DEV_SUBJECTS:
        return "dev"
    return "train" if performer in CROSS_SUBJECT_TRAIN else "test"


def _cross_view_split(performer: int, camera: int) -> str | None:
    if camera == TEST_CAMERA:
        return "test"
    return "dev" if performer in DEV_SUBJECTS else "train"


#: Gives a clip's split by its performer and camera; None: the split leaves it out.
NTU_SPLITS: dict[str, Callable[[int, int], str | None]] = {
    "paper": _paper_split,
    "bmnas": _cross_subject_split,
    "cross_subject": _cross_subject_split,
    "cross_view": _cross_view_split,
}
