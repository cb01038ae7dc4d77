# The image of the pipeline's stages, for Kubeflow, Vertex AI and Dataflow workers (docs/cloud.md). From the repository:
#
#   docker build -f docker/pipeline.Dockerfile -t registry.example/hfmnas:1 .
#   docker build -f docker/pipeline.Dockerfile --build-arg CUDA=1 -t registry.example/hfmnas:1-gpu .
#
# Debian 13 has a C library that is new enough for stack B.
FROM python:3.13-slim-trixie AS build

# One package comes as C++ source only. Versions are Debian's own of this release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build

# Before the code: these layers change with the lock alone.
COPY requirements/stack-b.txt requirements/cuda.txt requirements/
RUN python -m venv /opt/hfmnas \
    && /opt/hfmnas/bin/pip install --require-hashes --requirement requirements/stack-b.txt
ARG CUDA=0
RUN if [ "$CUDA" = 1 ]; then \
        /opt/hfmnas/bin/pip install --require-hashes --no-deps --requirement requirements/cuda.txt; \
    fi

COPY setup.py pyproject.toml README.md LICENSE ./
COPY hfmnas_keras hfmnas_keras
COPY components components
COPY pipeline pipeline
COPY schemas schemas
# The stages, not hfmnas_keras alone.
RUN HFMNAS_WITH_PIPELINE=1 /opt/hfmnas/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && /opt/hfmnas/bin/pip install --no-deps wheels/*.whl

# Pre-trained encoders of the presets; ENCODERS="" leaves them out.
ARG ENCODERS="minilm efficientnet_lite0"
RUN for encoder in $ENCODERS; do /opt/hfmnas/bin/hfmnas encoder fetch "$encoder" || exit 1; done

FROM python:3.13-slim-trixie

RUN useradd --create-home --uid 1000 hfmnas
COPY --from=build /opt/hfmnas /opt/hfmnas
# Where `kubeflow.schema_folder` looks for them.
COPY schemas /app/schemas

# The stages are started as `python -m ...`.
ENV PATH=/opt/hfmnas/bin:$PATH PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2
WORKDIR /app
USER 1000
CMD ["hfmnas", "--help"]
