#!/usr/bin/python3
"""The servers for real_servers.cpp: OpenStack's Keystone and Barbican from Debian's packages, on free loopback ports.

    servers.py start FOLDER    downloads the packages (apt-get) and unpacks them in the folder, once, sets up new servers
                               and starts them. FOLDER/state/cloud.json has their addresses and accounts
    servers.py stop FOLDER     stops them

Nothing is installed: all files of the servers are in the folder. Debian's packages need the Python in /usr/bin."""

import base64
import glob
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

PACKAGES = ["python3-keystone", "python3-barbican", "python3-waitress"]
SHORT = 6  # lifetime of the second Keystone's tokens, in seconds
ROLES = {  # user: project and role
    "barbican": ("service", "admin"), "loader": ("demo", "creator"), "watcher": ("demo", "observer"),
    "member": ("demo", "member"), "auditor": ("demo", "audit"), "outsider": ("other", "creator")}

KEYSTONE = """[DEFAULT]
log_file = {state}/{name}.log
[database]
connection = sqlite:///{state}/keystone.db
[auth]
methods = password,token,application_credential
[identity]
password_hash_rounds = 4
[token]
provider = fernet
expiration = {lifetime}
[fernet_tokens]
key_repository = {state}/fernet
[fernet_receipts]
key_repository = {state}/fernet
[credential]
key_repository = {state}/credential
[cache]
enabled = true
backend = dogpile.cache.memory
[oslo_policy]
enforce_scope = false
"""

# host_href has its default, so the addresses in Barbican's answers are wrong. It asks Keystone
# about each token each time, so that a withdrawn token is refused at once.
BARBICAN = """[DEFAULT]
log_file = {state}/barbican.log
sql_connection = sqlite:///{state}/barbican.db
db_auto_create = True
[secretstore]
enabled_secretstore_plugins = store_crypto
[crypto]
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = {encryption_key}
[keystone_authtoken]
auth_url = {keystone}
www_authenticate_uri = {keystone}
auth_type = password
username = barbican
password = {password}
project_name = service
user_domain_name = Default
project_domain_name = Default
token_cache_time = -1
"""

BARBICAN_PIPELINE = """[composite:main]
use = egg:Paste#urlmap
/: version
/v1: api
[pipeline:version]
pipeline = microversion versionapp
[pipeline:api]
pipeline = authtoken context microversion apiapp
[app:apiapp]
paste.app_factory = barbican.api.app:create_main_app
[app:versionapp]
paste.app_factory = barbican.api.app:create_version_app
[filter:context]
paste.filter_factory = barbican.api.middleware.context:ContextMiddleware.factory
[filter:microversion]
paste.filter_factory = barbican.api.middleware.microversion:MicroversionMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
"""


# ---- Packages -----------------------------------------------------------------------------------------------------------


def unpack_packages(folder):
    done = folder + "/packages/done"
    if os.path.exists(done):
        return
    archives = folder + "/archives"
    os.makedirs(archives + "/partial", exist_ok=True)
    # apt-get finds the dependencies. With --download-only it installs nothing, so it needs no lock.
    subprocess.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", "--download-only", "-o", "Debug::NoLocking=1",
                    "-o", "APT::Sandbox::User=root", "-o", "Dir::Cache::archives=" + archives] + PACKAGES,
                   check=True, stdout=subprocess.DEVNULL)
    for archive in glob.glob(archives + "/*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, folder + "/packages"], check=True)
        os.remove(archive)
    open(done, "w").close()


def environment(folder):
    packages = folder + "/packages/usr/lib"
    libraries = ":".join(glob.glob(packages + "/*-linux-gnu*"))
    return {"PATH": os.environ["PATH"], "HOME": folder + "/state", "PYTHONWARNINGS": "ignore",
            "PYTHONPATH": packages + "/python3/dist-packages", "LD_LIBRARY_PATH": libraries}


# ---- Processes ----------------------------------------------------------------------------------------------------------


def run(folder, *arguments, **variables):
    """Starts this script as another process, with the packages. The last argument names its output files."""
    files = "%s/state/%s" % (folder, arguments[-1])
    with open(files + ".out", "w") as out:
        process = subprocess.Popen(["/usr/bin/python3", os.path.abspath(__file__), *arguments, folder],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   env={**environment(folder), **variables}, start_new_session=True)
    with open(files + ".pid", "w") as file:
        file.write(str(process.pid))
    return process


def stop(folder):
    for file in glob.glob(folder + "/state/*.pid"):
        pid = int(open(file).read())
        os.remove(file)
        for wanted, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            end = time.monotonic() + seconds
            while is_ours(pid, folder) and time.monotonic() < end:
                os.kill(pid, wanted)
                time.sleep(0.1)


def is_ours(pid, folder):
    """False if another process has this number by now."""
    try:
        arguments = open("/proc/%d/cmdline" % pid, "rb").read().decode().split("\0")
    except OSError:
        return False
    return os.path.abspath(__file__) in arguments and folder in arguments


def serve(port, name, folder):
    """Runs one of the servers. Its access log has a line for each request: method, path, status."""
    state = folder + "/state"
    if name == "barbican":
        from paste import deploy
        application = deploy.loadapp("config:%s/barbican-paste.ini" % state)
    else:
        os.environ["OS_KEYSTONE_CONFIG_FILES"] = "%s/%s.conf" % (state, name)
        sys.argv[1:] = []
        from keystone.server.wsgi import initialize_public_application
        application = initialize_public_application()
    log = open("%s/%s.access" % (state, name), "a", buffering=1)

    def logged(request, respond):
        path = request["PATH_INFO"] + "?" * bool(request["QUERY_STRING"]) + request["QUERY_STRING"]

        def respond_logged(status, *more):
            log.write("%s %s %s\n" % (request["REQUEST_METHOD"], path, status.split()[0]))
            return respond(status, *more)

        return application(request, respond_logged)

    import waitress
    waitress.serve(logged, host="127.0.0.1", port=int(port), threads=1)  # with more, SQLite's file is sometimes locked


# ---- Setting up ---------------------------------------------------------------------------------------------------------


def create(url, _, folder):
    """Runs Keystone's commands, each in a fork: the library runs one per process, and importing it takes seconds."""
    from keystone.cmd import cli
    state = folder + "/state"
    user = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
    for command in (["db_sync"], ["fernet_setup"] + user, ["credential_setup"] + user,
                    ["bootstrap", "--bootstrap-region-id", "RegionOne", "--bootstrap-public-url", url,
                     "--bootstrap-internal-url", url]):  # Barbican uses the internal one
        pid = os.fork()
        if pid == 0:
            sys.argv = ["keystone-manage", "--config-file", state + "/keystone.conf"] + command
            cli.main(argv=sys.argv)
            os._exit(0)
        if os.waitpid(pid, 0)[1]:
            sys.exit("keystone-manage %s failed" % command[0])
        if command == ["db_sync"]:
            sqlite3.connect(state + "/keystone.db").execute("PRAGMA journal_mode=WAL")  # readers do not block the writer


class Cloud:
    """Keystone's API, as its administrator."""

    def __init__(self, url):
        self.url, self.token = url, None

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method, headers={"Content-Type": "application/json"},
                                         data=None if body is None else json.dumps(body).encode())
        if self.token:
            request.add_header("X-Auth-Token", self.token)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            return answer.headers, json.loads(text) if text else None

    def make(self, kind, **fields):
        (made,) = self.call("POST", "/%ss" % kind, {kind.split("/")[-1]: fields})[1].values()
        return made["id"]

    def log_in(self, user, password, project):
        domain = {"id": "default"}
        self.token = None
        self.token = self.call("POST", "/auth/tokens", {"auth": {
            "identity": {"methods": ["password"], "password": {"user": {"name": user, "domain": domain, "password": password}}},
            "scope": {"project": {"name": project, "domain": domain}}}})[0]["X-Subject-Token"]


def fill(cloud, admin, passwords, barbican):
    """Creates projects, users and the catalogue. Returns the users' ids and an application credential."""
    cloud.log_in("admin", admin, "admin")
    roles = {role["name"]: role["id"] for role in cloud.call("GET", "/roles")[1]["roles"]}
    for role in {role for _, role in ROLES.values()} - set(roles):
        roles[role] = cloud.make("role", name=role)
    projects = {project: cloud.make("project", name=project, domain_id="default") for project in ("service", "demo", "other")}
    ids = {}
    for user, (project, role) in ROLES.items():
        ids[user] = cloud.make("user", name=user, password=passwords[user], domain_id="default")
        cloud.call("PUT", "/projects/%s/users/%s/roles/%s" % (projects[project], ids[user], roles[role]))
    service = cloud.make("service", type="key-manager", name="barbican")
    cloud.call("PUT", "/regions/RegionTwo", {"region": {}})
    for region, url in (("RegionOne", barbican), ("RegionTwo", "http://127.0.0.1:9")):  # the second has no server
        cloud.make("endpoint", service_id=service, interface="public", region_id=region, url=url)
    cloud.log_in("loader", passwords["loader"], "demo")
    return ids, cloud.call("POST", "/users/%s/application_credentials" % ids["loader"],
                           {"application_credential": {"name": "test"}})[1]["application_credential"]


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def await_server(process, url):
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            return urllib.request.urlopen(url, timeout=5)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(url + " does not answer")


def start(folder):
    unpack_packages(folder)
    state = folder + "/state"
    os.umask(0o077)
    stop(folder)
    subprocess.run(["rm", "-rf", state], check=True)
    os.makedirs(state + "/.barbican")  # where Barbican looks for its configuration

    ports = free_ports(3)
    keystone, short, barbican = ["http://127.0.0.1:%d" % port for port in ports]
    passwords = {user: secrets.token_urlsafe(12) for user in ["admin", *ROLES]}
    fields = {"state": state, "keystone": keystone, "password": passwords["barbican"],
              "encryption_key": base64.b64encode(os.urandom(32)).decode()}
    for name, text in (("keystone.conf", KEYSTONE.format(name="keystone", lifetime=3600, **fields)),
                       ("short.conf", KEYSTONE.format(name="short", lifetime=SHORT, **fields)),
                       (".barbican/barbican.conf", BARBICAN.format(**fields)), ("barbican-paste.ini", BARBICAN_PIPELINE)):
        with open(state + "/" + name, "w") as file:
            file.write(text)

    started = [(run(folder, "serve", str(ports[2]), "barbican"), barbican)]
    if run(folder, "create", keystone + "/v3", "create", OS_BOOTSTRAP_PASSWORD=passwords["admin"]).wait(timeout=300):
        sys.exit("Keystone cannot be set up: see %s/create.out" % state)
    started += [(run(folder, "serve", str(port), name), url)
                for name, port, url in (("keystone", ports[0], keystone), ("short", ports[1], short))]
    for process, url in started:
        await_server(process, url)
    ids, credential = fill(Cloud(keystone + "/v3"), passwords["admin"], passwords, barbican)
    with open(state + "/cloud.json", "w") as file:
        json.dump({"keystone": keystone, "short": short, "barbican": barbican, "passwords": passwords, "ids": ids,
                   "credential": {"id": credential["id"], "secret": credential["secret"]}}, file)


def main(what, *arguments):
    folder = os.path.abspath(arguments[-1])
    if what == "start":
        try:
            start(folder)
        except BaseException:
            stop(folder)
            raise
    elif what == "stop":
        stop(folder)
    else:
        {"serve": serve, "create": create}[what](*arguments[:-1], folder)


if __name__ == "__main__":
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(proxy, None)
        os.environ.pop(proxy.upper(), None)
    main(*sys.argv[1:])
