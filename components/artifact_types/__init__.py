"""Artifact types of the pipeline, one file a type; `components` re-exports them under the names TFX looks up."""
