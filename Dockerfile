# The program in a container. Results and built data sets are kept in a volume:
#
#   docker build -t hashattack .
#   mkdir -p results
#   docker run --rm --user "$(id -u)" -v "$PWD/results:/work/results" hashattack run --suite demo
#
# With CUDA, on a base that has torch (2.6 or newer) and its CUDA libraries:
#
#   docker build -t hashattack:cuda --build-arg BASE=pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime .
#   docker run --rm --user "$(id -u)" --gpus all --shm-size 2g -v "$PWD/results:/work/results" \
#       hashattack:cuda run --suite demo
ARG BASE=python:3.12-slim
FROM ${BASE}

# Where torch comes from, unless the base has it: builds for the CPU are much smaller.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PATH=/opt/hashattack/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    XDG_CACHE_HOME=/work/results/.cache \
    MPLCONFIGDIR=/work/results/.cache/matplotlib

RUN python3 -m venv --system-site-packages /opt/hashattack \
    && (python -c "import torch, torchvision" 2>/dev/null \
        || pip install --index-url "${TORCH_INDEX}" "torch>=2.6" "torchvision>=0.21")

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY datasets datasets
COPY targets targets
COPY attacks attacks
COPY benchmark benchmark
COPY reports reports
RUN pip install . && rm -rf build ./*.egg-info

# A user without rights. --user "$(id -u)" is for a mounted folder, which belongs to you.
RUN useradd --create-home --uid 10001 bench \
    && mkdir -p /work/results && chown -R bench /work && chmod 777 /work/results
USER 10001
WORKDIR /work
VOLUME /work/results
ENTRYPOINT ["run-benchmark"]
CMD ["--help"]
