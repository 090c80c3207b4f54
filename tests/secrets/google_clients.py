# Google's own client checks the signature that the stand-in received. Then the client itself logs
# in and reads there.
import base64
import json
import os
import sys

import google.auth.compute_engine
import google.auth.jwt
import google.auth.transport.requests
import pkg_resources
from google.oauth2 import service_account

address, key_file, certificate = sys.argv[1:]
print("google-auth", pkg_resources.get_distribution("google-auth").version)
certificates = {"key-1": open(certificate).read()}
assertion = os.environ["TEST_ASSERTION"]


def digest(text):
    value = 14695981039346656037
    for byte in text:
        value = (value ^ byte) * 1099511628211 % 2**64
    return value


claims = google.auth.jwt.decode(assertion, certs=certificates, audience=address + "/token")
kid = google.auth.jwt.decode_header(assertion)["kid"]
print("our assertion:", claims["iss"], claims["aud"], claims["exp"] - claims["iat"], kid)
assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
header, body, signature = assertion.split(".")
changed = base64.urlsafe_b64encode(json.dumps(dict(claims, iss="another")).encode()).decode().rstrip("=")
try:
    google.auth.jwt.decode(".".join((header, changed, signature)), certs=certificates)
except ValueError as error:
    print("changed:", type(error).__name__)

try:
    import crcmod.predefined

    crc32c = crcmod.predefined.mkCrcFun("crc-32c")
except ImportError:
    crc32c = None

scopes = ["https://www.googleapis.com/auth/cloud-platform"]
for case, credentials in (("key file", service_account.Credentials.from_service_account_file(key_file, scopes=scopes)),
                          ("metadata", google.auth.compute_engine.Credentials())):
    session = google.auth.transport.requests.AuthorizedSession(credentials)
    for name in ("openai", "nobody"):
        answer = session.get(f"{address}/v1/projects/my-project/secrets/{name}/versions/latest:access").json()
        said = answer.get("error", {}).get("status")
        if not said:
            data = base64.b64decode(answer["payload"]["data"], validate=True)
            assert crc32c is None or crc32c(data) == int(answer["payload"]["dataCrc32c"])
            said = digest(data)
        print(f"{case}: {name} {said}")
print("checksums checked" if crc32c else "checksums not checked")
