# Stands in for vllm/vllm-openai where there is no GPU: vLLM's CPU build, with the user, the home and the entry point that
# the official image has. What docker-compose.yml says of the GPU engines is used as it is, but for the GPUs themselves.
FROM reasonflux/engine-cpu:0.1.0
# hadolint ignore=DL3002,DL3066
USER root
RUN useradd --uid 2000 --gid 0 --create-home --home-dir /home/vllm vllm \
    && mkdir -p /home/vllm/.cache \
    && chown -R 2000:0 /home/vllm \
    && rm -r /models
USER 2000:0
# The official image's is "vllm serve", which takes the model first; vLLM's CPU packaging has no such command.
ENTRYPOINT ["/bin/sh", "-c", "model=$1; shift; exec python -m reasonflux.local.vllm_server --model=\"$model\" \"$@\" --block-size=32 --dtype=bfloat16 --enforce-eager", "vllm"]
