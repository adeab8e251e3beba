# Intents and rules, with the trained model inside.
# The base is the bank's to choose: any glibc Linux with Python 3.10. Build from the repository's root
# (bin/images builds all):
#   podman build -f deploy/images/rasa.Dockerfile --build-arg BASE_IMAGE=... -t haechi/rasa .
ARG BASE_IMAGE=docker.io/library/python:3.10-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN ["python3.10", "-m", "venv", "/opt/venv"]
COPY locks/rasa-py310.txt /tmp/lock.txt
RUN ["/opt/venv/bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", "/tmp/lock.txt"]
# What installs is not needed to run.
RUN ["/opt/venv/bin/python", "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools"]
# The model is part of the image: what was tested is what serves.
WORKDIR /opt/haechi
COPY bot/__init__.py bot/__init__.py
COPY bot/rasa bot/rasa
ENV HAECHI_HOME=/opt/haechi/home
RUN ["/opt/venv/bin/python", "-m", "bot.rasa.train"]

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="haechi-rasa" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/haechi PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HAECHI_ENVIRONMENT=production HAECHI_SECRETS_DIRECTORY=/run/secrets/haechi \
    HAECHI_HOME=/opt/haechi/home HAECHI_RASA_HOST=0.0.0.0
WORKDIR /opt/haechi
COPY --from=build /opt/venv /opt/venv
COPY deploy/images/probe.py /opt/haechi/probe.py
COPY --from=build /opt/haechi/bot /opt/haechi/bot
COPY --from=build /opt/haechi/home /opt/haechi/home
USER 10001:10001
EXPOSE 5005
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python","/opt/haechi/probe.py","5005","/webhooks/guarded/health"]
CMD ["python", "-m", "bot.rasa.serve"]
