"""Helm's own engine behind one door: reads one JSON order a line, answers one JSON line; in an environment of its own.

The only file that knows the package `helm-sdkpy`, so that another engine can take its place. Orders: lint, install,
upgrade, test, history, package, uninstall; each with the arguments of that action.
"""

import asyncio
import json
import sys
from collections.abc import Iterable

import helm_sdkpy

ACTIONS = {
    "lint": helm_sdkpy.Lint,
    "install": helm_sdkpy.Install,
    "upgrade": helm_sdkpy.Upgrade,
    "test": helm_sdkpy.ReleaseTest,
    "history": helm_sdkpy.History,
    "package": helm_sdkpy.Package,
    "uninstall": helm_sdkpy.Uninstall,
}


async def follow(orders: Iterable[str]) -> None:
    configuration = None
    for line in orders:
        order = json.loads(line)
        action = order.pop("action")
        if action == "connect":
            configuration = helm_sdkpy.Configuration(namespace=order["namespace"], kubeconfig=order["kubeconfig"])
            answer = {}
        else:
            try:
                answer = {"result": await ACTIONS[action](configuration).run(**order)}
            except helm_sdkpy.HelmError as error:
                answer = {"error": str(error)}
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    asyncio.run(follow(sys.stdin))
