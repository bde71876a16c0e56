# vLLM's official CPU image with the shipped demonstration weights inside: nothing is fetched when it runs.
# One image, two engines: the command names the role's folder under /models. The context is the repository root.
FROM vllm/vllm-openai-cpu:v0.33.0
# A name for the user id (torch asks for it), and a cache folder whose owner a named volume inherits.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /cache --shell /usr/sbin/nologin reasonflux \
    && mkdir /cache \
    && chown 10001:10001 /cache
COPY models/reasonflux-tiny /models
COPY LICENSE /licenses/LICENSE
LABEL org.opencontainers.image.title="reasonflux-engine-cpu" \
      org.opencontainers.image.vendor="ReasonFlux" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
# nobind: the container's CPU limit decides, not a pinning to cores that other containers use too.
ENV HOME=/cache \
    HF_HUB_OFFLINE=1 \
    VLLM_CACHE_ROOT=/cache/vllm \
    VLLM_CONFIG_ROOT=/cache/config \
    TORCHINDUCTOR_CACHE_DIR=/cache/inductor \
    TRITON_CACHE_DIR=/cache/triton \
    VLLM_CPU_KVCACHE_SPACE=1 \
    VLLM_CPU_OMP_THREADS_BIND=nobind \
    VLLM_NO_USAGE_STATS=1
USER 10001:10001
EXPOSE 8000
