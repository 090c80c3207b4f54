# Azure's own clients read from a stand-in. Azure's host names resolve to this machine. Nothing else
# is changed.
import os
import socket
import sys

from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential, ManagedIdentityCredential
from azure.identity import _version as identity_version
from azure.identity._credentials.token_exchange import TokenExchangeCredential
from azure.keyvault.secrets import SecretClient, _version as secrets_version

port, metadata, token_file, tenant, client = sys.argv[1:]
print("azure-identity", identity_version.VERSION, "azure-keyvault-secrets", secrets_version.VERSION)
real = socket.getaddrinfo


def to_this_machine(host, *rest, **more):
    if host in ("my-vault.vault.azure.net", "my-vault.evil.example", "login.microsoftonline.com"):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))]
    return real(host, *rest, **more)


socket.getaddrinfo = to_this_machine


def digest(text):
    value = 14695981039346656037
    for byte in text.encode():
        value = (value ^ byte) * 1099511628211 % 2**64
    return value


def read(identity, credential):
    vault = SecretClient("https://my-vault.vault.azure.net", credential, retry_total=0)
    for name in ("openai", "nobody", "off"):
        try:
            said = digest(vault.get_secret(name).value)
        except HttpResponseError as error:
            said = (error.error.innererror or {}).get("code") or error.error.code
        print(f"{identity}: {name} {said}")


def managed_identity(**variables):
    os.environ.update(variables)
    credential = ManagedIdentityCredential()
    for name in variables:
        del os.environ[name]
    return credential


read("client secret", ClientSecretCredential(tenant, client, os.environ["TEST_CLIENT_SECRET"]))
read("federated token", TokenExchangeCredential(tenant, client, token_file))
os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = metadata  # read when a token is requested
read("metadata", ManagedIdentityCredential())
header = os.environ["TEST_IDENTITY_HEADER"]
read("app service", managed_identity(IDENTITY_ENDPOINT=metadata + "/msi/token", IDENTITY_HEADER=header))

right, wrong = (ClientSecretCredential(tenant, client, secret) for secret in (os.environ["TEST_CLIENT_SECRET"], "another"))
for case, host, credential in (("wrong secret", "my-vault.vault.azure.net", wrong),
                               ("wrong resource", "my-vault.evil.example", right)):
    try:
        SecretClient("https://" + host, credential, retry_total=0).get_secret("openai")
    except Exception as error:
        print(f"{case}: {type(error).__name__}")
