# The doors for people: web and widget, Slack, Teams; and the action server that Rasa's rules call.
# The base is the bank's to choose: any glibc Linux with Python 3.11. Build from the repository's root
# (bin/images builds all):
#   podman build -f deploy/images/gateway.Dockerfile --build-arg BASE_IMAGE=... -t haechi/gateway .
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN ["python3.11", "-m", "venv", "/opt/venv"]
COPY locks/images/gateway.txt /tmp/lock.txt
RUN ["/opt/venv/bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", "/tmp/lock.txt"]
# What installs is not needed to run.
RUN ["/opt/venv/bin/python", "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools"]

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="haechi-gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/haechi PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HAECHI_ENVIRONMENT=production HAECHI_SECRETS_DIRECTORY=/run/secrets/haechi \
    HAECHI_HOME=/var/lib/haechi HAECHI_GATEWAY_HOST=0.0.0.0
WORKDIR /opt/haechi
COPY --from=build /opt/venv /opt/venv
COPY deploy/images/probe.py /opt/haechi/probe.py
COPY llm_service/__init__.py llm_service/client.py llm_service/connections.py llm_service/handoff_client.py llm_service/logs.py llm_service/py.typed /opt/haechi/llm_service/
COPY bot/__init__.py /opt/haechi/bot/
COPY bot/actions /opt/haechi/bot/actions
COPY bot/gateway /opt/haechi/bot/gateway
COPY bot/teams_door /opt/haechi/bot/teams_door
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python","/opt/haechi/probe.py","8080"]
CMD ["python", "-m", "bot.gateway.app"]
