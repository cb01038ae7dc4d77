"""TFX's Pusher, with an executor that does not push what serves already."""

from typing import Any

from tfx.components.pusher import component as tfx_pusher_component
from tfx.dsl.components.base import executor_spec

from components.code_fingerprint import CODE_FINGERPRINT, code_fingerprint
from components.pusher import executor


class Pusher(tfx_pusher_component.Pusher):
    """Copies a blessed model to a new version folder for TensorFlow Serving.

    Differs from TFX's Pusher, whose arguments and output it has, in three ways: a model that is already the newest
    version is not pushed a second time (TFX's pushes it again whenever the Evaluator ran again); the version folder
    appears whole or not at all; versions only increase, even when the clock does not.

    Example:

    ```python
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=serving_check.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=serving_folder)
        ),
    )
    ```

    Outputs:
        `pushed_model`: `PushedModel`, with the custom properties `pushed`, `pushed_destination`, `pushed_version`,
        `already_serving` and `model_digest`.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # TFX writes the specification itself.
        self.exec_properties[CODE_FINGERPRINT] = code_fingerprint(*executor.CODE)
