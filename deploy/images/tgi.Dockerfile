# TGI as an unprivileged user: its own image keeps its Python under root's home, which nobody else may read, so that it does not
# start without root (text-generation-inference issue 3082). This copies that Python to where everybody may.
# Not built or run in this project's tests: no GPU and no such image there. Build it on a machine that has TGI's image:
#   podman build -f deploy/images/tgi.Dockerfile --build-arg TGI_IMAGE=... -t haechi/tgi:3.3.7 .
ARG TGI_IMAGE=ghcr.io/huggingface/text-generation-inference:3.3.7

FROM ${TGI_IMAGE}
LABEL org.opencontainers.image.title="haechi-tgi" \
      org.opencontainers.image.licenses="Apache-2.0"
USER root
RUN ["cp", "--archive", "--dereference", "/root/.local/share/uv/python", "/opt/python"]
RUN ["chmod", "--recursive", "a+rX", "/opt/python", "/usr/src"]
ENV LD_LIBRARY_PATH=/opt/python/lib HOME=/tmp HF_HUB_OFFLINE=1 USAGE_STATS=off
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["text-generation-launcher"]
