"""Serves the trained model: `python -m bot.rasa.serve` in the Rasa environment. One channel, no HTTP API."""

import os
import warnings
from pathlib import Path

from bot.rasa import settings
from bot.rasa.lean import leave_out_tensorflow
from bot.rasa.logs import configure_logs
from bot.rasa.model_archive import verified_archive

MAX_REQUEST_BYTES = 64 * 1024


def serve(archive: Path, endpoints: Path) -> None:
    """Run Rasa's server until it is told to stop."""
    leave_out_tensorflow()
    # Only now: Rasa looks for TensorFlow while it is imported.
    from rasa.core.run import serve_application  # noqa: PLC0415
    from rasa.core.utils import AvailableEndpoints  # noqa: PLC0415

    # Importing Rasa configures logging too; ours has to be the last word.
    configure_logs()
    serve_application(
        model_path=str(archive),
        interface=settings.host(),
        port=settings.port(),
        credentials=str(settings.PROJECT / "credentials.yml"),
        endpoints=AvailableEndpoints.read_endpoints(str(endpoints)),
        enable_api=False,
        cors=None,
    )


def prepare_environment() -> Path:
    """Set what Rasa and Sanic read from the environment; returns the endpoints file to use."""
    os.environ.update(
        RASA_TELEMETRY_ENABLED="false",
        SQLALCHEMY_SILENCE_UBER_WARNING="1",
        SANIC_REQUEST_MAX_SIZE=str(MAX_REQUEST_BYTES),
        SANIC_ACCESS_LOG="false",
        HAECHI_ACTIONS_URL=settings.actions_url(),
        HAECHI_ACTIONS_TOKEN=settings.secret("haechi_service_token"),
    )
    address = settings.tracker_address()
    if address is None:
        return settings.PROJECT / "endpoints.yml"
    os.environ.update(
        HAECHI_RASA_TRACKER_HOST=address.host,
        HAECHI_RASA_TRACKER_PORT=str(address.port),
        HAECHI_RASA_TRACKER_DATABASE=address.database,
        HAECHI_RASA_TRACKER_PASSWORD=address.password,
    )
    return settings.PROJECT / "endpoints.redis.yml"


def main() -> None:
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    configure_logs()
    archive = verified_archive(settings.models_directory())
    serve(archive, prepare_environment())


if __name__ == "__main__":
    main()
