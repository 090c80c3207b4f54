"""Reads with hvac, an independent client, from the server that stands in for an OpenBao or Vault engine.

    python3 kv2_hvac.py ADDRESS ROLE_ID SECRET_ID KUBERNETES_TOKEN

Prints one line for each step, with no secrets except the keys. The test compares the lines with our hook's results.
"""

import sys

import hvac
from hvac.api.auth_methods import Kubernetes

address, role_id, secret_id, kubernetes_token = sys.argv[1:]


def step(name, function):
    try:
        print(name, function())
    except hvac.exceptions.VaultError as error:
        print(name, type(error).__name__)


def client():
    return hvac.Client(url=address, namespace="team")


def key_of(vault, path, **more):
    return vault.secrets.kv.v2.read_secret_version(path="api-keys/" + path, **more)["data"]["data"]["key"]


step("no token:", lambda: key_of(client(), "openai"))

vault = client()
vault.auth.approle.login(role_id=role_id, secret_id=secret_id)
step("AppRole:", lambda: key_of(vault, "openai"))
step("missing:", lambda: key_of(vault, "nobody"))
step("deleted:", lambda: key_of(vault, "deleted"))
step("no mount:", lambda: key_of(vault, "openai", mount_point="nowhere"))
step("version 1:", lambda: vault.secrets.kv.v1.read_secret("api-keys/openai", mount_point="old")["data"]["key"])

vault = client()
Kubernetes(vault.adapter).login(role="reader", jwt=kubernetes_token, mount_point="k8s/prod")
step("Kubernetes:", lambda: key_of(vault, "openai"))
step("wrong AppRole:", lambda: client().auth.approle.login(role_id=role_id, secret_id="wrong"))
