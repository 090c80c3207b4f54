"""Do AWS's own Python clients agree with the hook? Use: aws_botocore.py AWS_PROBE. Needs boto3 and botocore.

A server stands in for Secrets Manager, a container's endpoint and an instance's metadata service.
1. For each request the server lets botocore compute the signature again, and refuses a request whose
   signature differs. Altered requests and AWS's own test signatures show that this check works.
2. boto3 reads from the server and understands its answers. So the server behaves like AWS.
3. The program reads the same secrets from the server, with the same outcomes.
4. If moto is installed, its server answers, too.
5. For a table of variables and files, botocore and the program choose the same access key, or the program
   has an error.
"""

import datetime
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

import boto3
import botocore
import botocore.config
import botocore.exceptions
import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS = {  # id: secret access key, token
    "AKIDENVIRONMENT": ("wJalrXUtnFEMI+of/the+environment", None),
    "ASIATEMPORARY": ("wJalrXUtnFEMI+temporary", "IQoJb3JpZ2luX2VjE+token/of+the=test=="),
    "ASIACONTAINER": ("wJalrXUtnFEMI+container", "IQoJb3JpZ2luX2VjE+token/of+the+container=="),
    "ASIAINSTANCE": ("wJalrXUtnFEMI+instance", "IQoJb3JpZ2luX2VjE+token/of+the+instance=="),
}
CONTAINER_TOKEN = "Basic container-token"
METADATA_TOKEN = "AQAEA-metadata-token=="
REGION = "eu-central-1"

SECRETS = {
    "api-keys/openai": {"SecretString": "sk-of-openai"},
    "Az09/_+=.@-": {"SecretString": 'sk-"of"\\\u00fc\n.'},
    "api-keys/binary": {"SecretBinary": "c2stYmluYXJ5"},
    "api-keys/empty": {"SecretString": ""},
}
FAILURES = {  # name: error, message, what the program prints (None: that the secret is missing)
    "api-keys/nobody": ("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", None),
    "f/deleted": ("InvalidRequestException",
                  "You can't perform this operation on the secret because it was marked for deletion.",
                  "the secret is marked for deletion"),
    "f/denied": ("AccessDeniedException", "User is not authorized to perform it", "no permission"),
    "f/kms": ("DecryptionFailure", "", "cannot decrypt"),
    "f/slow": ("ThrottlingException", "Rate exceeded", "too many requests"),
    "f/skew": ("InvalidSignatureException",
               "Signature expired: 20250101T000000Z is now earlier than 20250102T000000Z", "clock"),
    "f/expired": ("ExpiredTokenException", "The security token included in the request is expired",
                  "the token has expired"),
}


def signature_of(method, url, headers, body, key_id, secret, token, scope, date):
    """The signature that botocore computes for a request with these signed headers."""
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    request.context["timestamp"] = date
    region, service = scope.split("/")[1:3]
    signer = SigV4Auth(Credentials(key_id, secret, token), service, region)
    return signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)


def refusal(method, path, headers, body):
    """The error and the message with which AWS refuses the request, or None. Header names are in lower case."""
    given = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
        headers.get("authorization", ""))
    if not given:
        return "IncompleteSignatureException", "Authorization header is not as it should be"
    key_id, scope, names, signature = given.groups()
    if key_id not in KEYS:
        return "UnrecognizedClientException", "The security token included in the request is invalid."
    secret, token = KEYS[key_id]
    if headers.get("x-amz-security-token") != token:
        return "UnrecognizedClientException", "The security token included in the request is invalid."
    date = headers.get("x-amz-date", "")
    if scope != f"{date[:8]}/{REGION}/secretsmanager/aws4_request":
        return "InvalidSignatureException", "Credential should be scoped to a valid region."
    names = names.split(";")
    for name in headers:
        if name.startswith("x-amz-") and name not in names or "host" not in names:
            return "InvalidSignatureException", "a header has to be signed"
    if any(name not in headers for name in names):
        return "InvalidSignatureException", "a header is signed that was not sent"
    signed = {name: headers[name] for name in names}
    url = "http://" + headers["host"] + path
    if signature != signature_of(method, url, signed, body, key_id, secret, token, scope, date):
        return ("InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided.")
    now = datetime.datetime.now(datetime.timezone.utc)
    sent = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if abs(now - sent) > datetime.timedelta(minutes=5):
        return "InvalidSignatureException", f"Signature expired: {date} is now earlier than {now}"
    return None


def key_pair(key_id):
    secret, token = KEYS[key_id]
    return {"Code": "Success", "AccessKeyId": key_id, "SecretAccessKey": secret, "Token": token,
            "Expiration": "2999-01-01T00:00:00Z"}


class StandIn(http.server.BaseHTTPRequestHandler):
    received = []  # requests to Secrets Manager: method, path, headers, body

    def log_message(self, *_):
        pass

    def answer(self, status, body, content_type="application/x-amz-json-1.1"):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.received.append((self.command, self.path, headers, body))
        refused = refusal(self.command, self.path, headers, body)
        if not refused and headers.get("x-amz-target") != "secretsmanager.GetSecretValue":
            refused = "UnknownOperationException", ""
        if not refused and not headers.get("content-type", "").startswith("application/x-amz-json-1.1"):
            refused = "SerializationException", ""
        name = json.loads(body)["SecretId"]
        if not refused and name in FAILURES:
            refused = FAILURES[name][:2]
        if refused:
            return self.answer(400, {"__type": refused[0], "Message": refused[1]})
        if name not in SECRETS:
            return self.answer(400, {"__type": "ResourceNotFoundException", "Message": ""})
        return self.answer(200, {"ARN": f"arn:aws:secretsmanager:{REGION}:1:secret:{name}-abcdef", "Name": name,
                                 "VersionId": "a" * 36, "VersionStages": ["AWSCURRENT"], "CreatedDate": 1.5e9,
                                 **SECRETS[name]})

    def do_PUT(self):
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        good = self.path == "/latest/api/token" and ttl.isdigit() and 1 <= int(ttl) <= 21600
        return self.answer(200, METADATA_TOKEN.encode(), "text/plain") if good else self.answer(400, b"")

    def do_GET(self):
        roles = "/latest/meta-data/iam/security-credentials/"
        if self.path == "/container":
            good = self.headers.get("Authorization") in (None, CONTAINER_TOKEN)
            return self.answer(200, key_pair("ASIACONTAINER")) if good else self.answer(401, b"")
        if self.headers.get("X-aws-ec2-metadata-token") != METADATA_TOKEN:
            return self.answer(401, b"")
        if self.path == roles:
            return self.answer(200, b"role-of-the-test", "text/plain")
        if self.path == roles + "role-of-the-test":
            return self.answer(200, key_pair("ASIAINSTANCE"))
        return self.answer(404, b"")


failed = []
claims = 0


def claim(what, is_so, told=""):
    global claims
    claims += 1
    if not is_so:
        failed.append(what)
        print(f"FAILED: {what}: {told!r}")


def run(program, home, variables, *arguments):
    environment = {"HOME": home, "PATH": os.environ.get("PATH", ""), "AWS_REGION": REGION, **variables}
    ran = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, timeout=60,
                         check=False)
    said = ran.stdout + ran.stderr
    for secret, token in KEYS.values():
        for hidden in (secret, token, CONTAINER_TOKEN, METADATA_TOKEN):
            claim("no output contains a secret access key or a token", hidden is None or hidden not in said)
    return ran.stdout


def environment_of(key_id):
    secret, token = KEYS[key_id]
    variables = {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret}
    return {**variables, "AWS_SESSION_TOKEN": token} if token else variables


def check_verifier(address):
    """The verifier computes the same signatures as AWS, and refuses altered requests."""
    empty = hashlib.sha256(b"").hexdigest()
    claim("the hash of an empty text is right", empty.startswith("e3b0c442"))
    for extra, expected in (  # aws-c-auth, tests/aws-signing-test-suite/v4: post-vanilla, post-header-key-sort
            ({}, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            ({"My-Header1": "value1"}, "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c")):
        headers = {"Host": "example.amazonaws.com", "X-Amz-Date": "20150830T123600Z", **extra}
        computed = signature_of("POST", "http://example.amazonaws.com/", headers, b"", "AKIDEXAMPLE",
                                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None,
                                "20150830/us-east-1/service/aws4_request", "20150830T123600Z")
        claim("the verifier computes AWS's own signatures", computed == expected, computed)
    claim("requests were received", len(StandIn.received) > 0)
    method, path, headers, body = StandIn.received[-1]
    claim("the unaltered request is accepted", refusal(method, path, headers, body) is None)
    target = {**headers, "x-amz-target": "secretsmanager.DeleteSecret"}
    for what, altered in (("body", (method, path, headers, body + b" ")),
                          ("path", (method, path + "x", headers, body)),
                          ("method", ("PUT", path, headers, body)), ("target", (method, path, target, body)),
                          ("host", (method, path, {**headers, "host": "example.com"}, body)),
                          ("more headers", (method, path, {**headers, "x-amz-other": "1"}, body)),
                          ("date", (method, path, {**headers, "x-amz-date": "20150830T123600Z"}, body))):
        refused = refusal(*altered)
        is_refused = refused and refused[0] == "InvalidSignatureException"
        claim(f"a request with another {what} is refused", is_refused, refused)
    claim("the host header is the server's address", headers["host"] == address.split("//")[1], headers["host"])


def check_boto3(address):
    for key_id in ("AKIDENVIRONMENT", "ASIATEMPORARY"):
        client = boto3.client("secretsmanager", region_name=REGION, endpoint_url=address, aws_access_key_id=key_id,
                              aws_secret_access_key=KEYS[key_id][0], aws_session_token=KEYS[key_id][1],
                              config=botocore.config.Config(retries={"max_attempts": 0}))
        for name, secret in SECRETS.items():
            read = client.get_secret_value(SecretId=name)
            is_same = read.get("SecretString") == secret.get("SecretString") and read["Name"] == name
            claim(f"boto3 reads {name}", is_same, read)
        for name, (error, message, _) in FAILURES.items():
            try:
                client.get_secret_value(SecretId=name)
                claim(f"boto3 fails to read {name}", False)
            except botocore.exceptions.ClientError as raised:
                told = raised.response["Error"]
                claim(f"boto3 recognizes the failure of {name}",
                      (told["Code"], told["Message"]) == (error, message), told)


def check_program(program, home, address):
    names = list(SECRETS) + list(FAILURES)
    for key_id in ("AKIDENVIRONMENT", "ASIATEMPORARY"):
        variables = {**environment_of(key_id), "AWS_ENDPOINT_URL": address}
        StandIn.received.clear()
        for name in names:
            said = run(program, home, variables, "read", name)
            if name in SECRETS and SECRETS[name].get("SecretString"):
                claim(f"the program reads {name}", said == f"found {SECRETS[name]['SecretString']}\n", said)
            elif name in SECRETS:
                claim(f"the program finds no text in {name}", said.startswith("failed aws: "), said)
            elif FAILURES[name][2] is None:
                claim(f"the program reports {name} as missing", said == "not found\n", said)
            else:
                claim(f"the program says why {name} fails", FAILURES[name][2] in said, said)
        claim("botocore computes the same signatures as the program",
              all(refusal(*request) is None for request in StandIn.received)
              and len(StandIn.received) >= len(names))
    wrong = {**environment_of("AKIDENVIRONMENT"), "AWS_SECRET_ACCESS_KEY": "another", "AWS_ENDPOINT_URL": address}
    said = run(program, home, wrong, "read", "api-keys/openai")
    claim("a wrong secret access key is reported", "the signature is wrong" in said, said)
    wrong = {**environment_of("ASIATEMPORARY"), "AWS_SESSION_TOKEN": "another", "AWS_ENDPOINT_URL": address}
    said = run(program, home, wrong, "read", "api-keys/openai")
    claim("a wrong token is reported", "access key is not taken" in said, said)
    for variables in ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": address + "/container"},
                      {"AWS_EC2_METADATA_SERVICE_ENDPOINT": address}):
        said = run(program, home, {**variables, "AWS_ENDPOINT_URL": address}, "read", "api-keys/openai")
        claim(f"the program reads with the key of {list(variables)[0]}", said == "found sk-of-openai\n", said)


def check_moto(program, home):
    try:
        from moto.server import ThreadedMotoServer  # pylint: disable=import-outside-toplevel
    except ImportError:
        return
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    address = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    key = environment_of("AKIDENVIRONMENT")
    client = boto3.client("secretsmanager", region_name=REGION, endpoint_url=address,
                          aws_access_key_id=key["AWS_ACCESS_KEY_ID"],
                          aws_secret_access_key=key["AWS_SECRET_ACCESS_KEY"])
    client.create_secret(Name="api-keys/openai", SecretString="sk-of-moto")
    client.create_secret(Name="api-keys/pairs", SecretString='{"openai": "sk-of-moto"}')
    client.create_secret(Name="api-keys/binary", SecretBinary=b"sk-of-moto")
    client.create_secret(Name="api-keys/deleted", SecretString="sk-of-moto")
    client.delete_secret(SecretId="api-keys/deleted", RecoveryWindowInDays=7)
    for name, expected in (("openai", "found sk-of-moto"), ("nobody", "not found"),
                           ("pairs", "is a JSON object"), ("binary", "is binary"),
                           ("deleted", "marked for deletion")):
        said = run(program, home, {**key, "AWS_ENDPOINT_URL": address}, "read", "api-keys/" + name)
        claim(f"the program reads api-keys/{name} from moto", expected in said, said)
    server.stop()


KEY = "aws_access_key_id = {}\naws_secret_access_key = s\n"
ONE, TWO = KEY.format("FILEONE"), KEY.format("FILETWO")


def chains(address):
    """Variables, the two files, and a part of the program's error, which is empty if it does as botocore."""
    environment = environment_of("AKIDENVIRONMENT")
    container = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": address + "/container"}
    instance = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": address}
    dev = {"AWS_PROFILE": "dev"}
    yield environment, "[default]\n" + ONE, "", ""
    yield {**environment, **container, **instance}, "", "", ""
    yield {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "x"}, "[default]\n" + ONE, "", "is set without"
    yield {}, "[default]\n" + ONE, "[default]\n" + TWO, ""
    yield {}, "", "[default]\n" + TWO, ""
    yield {}, "", "[profile default]\n" + TWO, ""
    yield {}, "[other]\n" + ONE, "[other]\n" + TWO, ""
    yield {}, "", "", ""
    yield dev, "[default]\n" + ONE + "[dev]\n" + TWO, "", ""
    yield dev, "[dev]\n" + ONE, "[profile dev]\n" + TWO, ""
    yield dev, "", "[default]\n" + ONE + "[profile dev]\n" + TWO, ""
    yield dev, "", '[profile "dev"]\n' + TWO, ""
    yield dev, "", "[profile   dev]\n" + TWO, ""
    yield {**environment, **dev}, "[dev]\n" + TWO, "", ""
    yield {**dev, **container}, "[dev]\nregion = eu-west-1\n", "", ""
    yield container, "[default]\n" + ONE, "", ""
    yield {**container, **instance}, "", "", ""
    yield {**container, "AWS_CONTAINER_AUTHORIZATION_TOKEN": CONTAINER_TOKEN}, "", "", ""
    yield instance, "", "", ""
    yield instance, "[default]\n" + ONE, "", ""
    yield instance, "", "[default]\nregion = eu-west-1\n", ""
    yield {**instance, "AWS_EC2_METADATA_DISABLED": "true"}, "", "", ""
    yield {}, "# note\n[default]\n  AWS_ACCESS_KEY_ID : FILEONE\n  aws_secret_access_key=s\n; more\n", "", ""
    yield {}, "", "[default]\ns3 =\n  aws_access_key_id = NESTED\n" + TWO, ""
    yield {}, "", "[default]\nregion = eu-west-1\ns3 =\n  " + ONE.replace("\n", "\n  "), ""
    other = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/other"}
    yield other, "[default]\n" + ONE, "[default]\n" + TWO, "does not exist"
    yield {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/config"}, "[default]\n" + ONE, "[default]\n" + TWO, ""
    yield {"AWS_CONFIG_FILE": "~/.aws/other"}, "[default]\n" + ONE, "", "does not exist"
    yield {}, "[default]\n" + ONE + "[default]\n" + TWO, "", "twice"
    yield {}, "", "[default]\n" + ONE + "[profile default]\n" + TWO, "twice"
    yield {}, "[default]\n" + ONE + TWO, "", "twice"
    for text in ("\ufeff[default]\n" + ONE, ("[default]\n" + ONE).encode("utf-16"), "x\n[default]\n" + ONE):
        yield instance, text, "", "not a file of profiles"
        yield instance, "", text, "not a file of profiles"
    role = "[default]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n"
    yield {}, "[default]\n" + ONE, role, "not supported"
    sso = "[default]\nsso_account_id = 1\nsso_role_name = x\nsso_region = y\nsso_start_url = https://z\n"
    yield {}, "[default]\n" + ONE, sso, "not supported"
    yield {}, "[default]\n" + ONE, "[default]\ncredential_process = /bin/false\n", ""
    yield {}, "", "[default]\ncredential_process = echo {}\n" + TWO, "not supported"
    web = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nothing", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"}
    yield web, "[default]\n" + ONE, "", "not supported"


def choice_of_botocore(variables):
    """The id of the key that botocore finds, and the method, or None and the error."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables, AWS_METADATA_SERVICE_TIMEOUT="20")
    try:
        found = botocore.session.Session().get_credentials()
        if found and found.method in ("assume-role", "assume-role-with-web-identity", "sso"):
            return None, found.method  # reading the key would send a request to AWS
        return (found.access_key, found.method) if found else (None, "")
    except botocore.exceptions.BotoCoreError as error:
        return None, type(error).__name__
    finally:
        os.environ.clear()
        os.environ.update(before)


def check_chain(program, address):
    ids = set()
    for number, (variables, credentials, config, error) in enumerate(chains(address)):
        with tempfile.TemporaryDirectory() as home:
            os.mkdir(home + "/.aws")
            for file, text in (("credentials", credentials), ("config", config)):
                with open(f"{home}/.aws/{file}", "wb") as to:
                    to.write(text if isinstance(text, bytes) else text.encode())
            if "AWS_EC2_METADATA_SERVICE_ENDPOINT" not in variables:
                variables = {**variables, "AWS_EC2_METADATA_DISABLED": "true"}
            said = run(program, home, variables, "id").strip()
            their_id, method = choice_of_botocore({"HOME": home, "AWS_REGION": REGION, **variables})
            what = f"chain {number}: {variables} {credentials!r} {config!r}: {their_id} {method}"
            if error:
                claim(what, said.startswith("failed ") and error in said, said)
                is_static = method in ("shared-credentials-file", "config-file")
                claim(what, not is_static or error != "not supported", method)
            elif their_id is None:
                claim(what, method == "" and (said == "not configured" or said.startswith("failed ")), said)
            else:
                claim(what, said == their_id, said)
                ids.add(said)
    sources = {"AKIDENVIRONMENT", "FILEONE", "FILETWO", "ASIACONTAINER", "ASIAINSTANCE"}
    claim("each source was chosen", ids >= sources, ids)


def main(program):
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        check_boto3(address)
        check_verifier(address)
        check_program(program, home, address)
        check_moto(program, home)
    check_chain(program, address)
    server.shutdown()
    print(f"{claims} claims, {len(failed)} failed; boto3 {boto3.__version__}, botocore {botocore.__version__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
