# The workers of the job queue, on a CPU; also the development server.
# The base is the bank's to choose: any glibc Linux with Python 3.11. Build from the repository's root
# (bin/images builds all):
#   podman build -f deploy/images/trainer-cpu.Dockerfile --build-arg BASE_IMAGE=... -t haechi/trainer-cpu .
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN ["python3.11", "-m", "venv", "/opt/venv"]
COPY locks/images/trainer.txt /tmp/lock.txt
RUN ["/opt/venv/bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", "/tmp/lock.txt"]
COPY locks/torch-cpu-py311.txt /tmp/torch.txt
RUN ["/opt/venv/bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", "/tmp/torch.txt"]
# What installs is not needed to run.
RUN ["/opt/venv/bin/python", "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools"]

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="haechi-trainer-cpu" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/haechi PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HAECHI_ENVIRONMENT=production HAECHI_SECRETS_DIRECTORY=/run/secrets/haechi \
    HAECHI_HOME=/var/lib/haechi HAECHI_HEARTBEAT_FILE=/tmp/heartbeat OMP_NUM_THREADS=1
WORKDIR /opt/haechi
COPY --from=build /opt/venv /opt/venv
COPY deploy/images/probe.py /opt/haechi/probe.py
COPY deploy/images/heartbeat.py /opt/haechi/heartbeat.py
COPY llm_service /opt/haechi/llm_service
COPY trainer /opt/haechi/trainer
USER 10001:10001
HEALTHCHECK --interval=60s --timeout=10s --start-period=90s CMD ["python","/opt/haechi/heartbeat.py","/tmp/heartbeat","180"]
CMD ["python", "-m", "trainer.worker", "--queues", "housekeeping,ingest,evaluate"]
