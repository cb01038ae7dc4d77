# TensorFlow Serving with the pushed models of one run inside. From the repository:
#
#   docker build -f docker/serving.Dockerfile --build-arg MODEL=demo -t registry.example/demo-serving:1 .
#   docker run -p 8500:8500 -p 8501:8501 registry.example/demo-serving:1
#
# For a GPU: --build-arg TAG=2.19.1-gpu
ARG TAG=2.19.1
FROM tensorflow/serving:${TAG}

# Name of the run, and of the model that clients ask for.
ARG MODEL=demo
COPY runs/${MODEL}/serving/${MODEL} /models/${MODEL}
COPY docker/serving/batching.config docker/serving/monitoring.config /config/

RUN useradd --no-create-home --uid 1000 server
USER 1000
ENV MODEL_NAME=${MODEL}
# The image's entry point takes the model from MODEL_NAME and hands these on.
CMD ["--enable_batching", "--batching_parameters_file=/config/batching.config", \
     "--monitoring_config_file=/config/monitoring.config"]
