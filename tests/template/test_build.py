"""What `sam build` makes of the template: what AWS would get, loaded as Lambda loads it."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.application import ENVIRONMENT
from tests.commands import output_of, run
from tests.template.document import ROOT, Deployment, as_list, read

SAM = ROOT / ".venvs" / "local" / "bin" / "sam"
RECIPE = ROOT / "infra" / "build" / "Makefile"
TEMPLATE = read(ROOT / "template.yaml")
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
LAYERS = ["CommonLayer", "DependenciesLayer", "MigrationsLayer"]
PACKAGES = [
    *(function.logical_id for function in Deployment(TEMPLATE, {}).functions),
    *LAYERS,
]

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_UNZIPPED_BYTES = 250 * 1024 * 1024
MAX_ZIPPED_BYTES = 50 * 1024 * 1024
# Of the runtime's Amazon Linux 2023.
RUNTIME_GLIBC = (2, 34)
RUNTIME = TEMPLATE["Globals"]["Function"]["Runtime"]
# Of the Python that runs these tests, which can load what is built for it alone.
OWN_RUNTIME = f"python3.{sys.version_info.minor}"
UNCHECKED_HASH = 1


def sam_build(folder: Path, runtime: str) -> Path:
    # SAM does not see when the recipe changes: each recipe has a cache of its own.
    digest = hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:16]
    cache = ROOT / ".cache" / "sam-build" / f"{digest}-{runtime}"
    cache.mkdir(parents=True, exist_ok=True)
    output_of(
        *(SAM, "build", "--cached", "--parallel", "--build-dir", folder, "--cache-dir", cache),
        env={
            **os.environ,
            "SAM_CLI_TELEMETRY": "0",
            # The recipe finds out by itself what the template is for.
            **({"LAMBDA_RUNTIME": runtime} if runtime != RUNTIME else {}),
        },
    )
    return folder


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the artifacts for AWS, and the template that names them."""
    return sam_build(tmp_path_factory.mktemp("build"), RUNTIME)


@pytest.fixture(scope="session")
def own_build(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for the Python of this machine, which may be another one."""
    if OWN_RUNTIME == RUNTIME:
        return build
    return sam_build(tmp_path_factory.mktemp("own-build"), OWN_RUNTIME)


def code_of(build: Path, package: str) -> tuple[Path, str]:
    """Where a package's code is, and where it is in the runtime."""
    if package.endswith("Layer"):
        return build / package / "python", "/opt/python"
    return build / package, "/var/task"


def bytecode_faults(code: Path, runtime_folder: str) -> Iterator[str]:
    sources = set(code.rglob("*.py"))
    for source in sorted(sources):
        name = source.relative_to(code)
        cached = Path(importlib.util.cache_from_source(str(source)))
        if not cached.is_file():
            yield f"{name}: no bytecode"
            continue
        data = cached.read_bytes()
        if data[:4] != importlib.util.MAGIC_NUMBER:
            yield f"{name}: bytecode of another Python"
        elif int.from_bytes(data[4:8], "little") != UNCHECKED_HASH:
            yield f"{name}: the runtime would compare times or read the source"
        elif data[8:16] != importlib.util.source_hash(source.read_bytes()):
            yield f"{name}: bytecode of another source"
        elif not (where := marshal.loads(data[16:]).co_filename).startswith(runtime_folder):
            yield f"{name}: says it was at {where}"
    expected = {Path(importlib.util.cache_from_source(str(source))) for source in sources}
    for cached in sorted(set(code.rglob("*.pyc")) - expected):
        yield f"{cached.relative_to(code)}: bytecode without its source"


def leftovers(code: Path) -> Iterator[str]:
    """What only the build, the tests or another service needs."""
    for path in sorted(code.iterdir()):
        if path.name in {"bin", "tests", "test", "Makefile"} or path.name.startswith(
            "requirements"
        ):
            yield path.name
    data = code / "botocore" / "data"
    if data.is_dir():
        for service in sorted(path.name for path in data.iterdir() if path.is_dir()):
            if service not in services_called():
                yield f"botocore/data/{service}"


def services_called() -> set[str]:
    return {
        service
        for path in (ROOT / "layers" / "common" / "image_api").rglob("*.py")
        for service in re.findall(
            r"boto3\.client\(\s*\"([a-z0-9-]+)\"", path.read_text(encoding="utf-8")
        )
    }


# An ELF header's e_machine.
MACHINES = {"x86_64": 62, "arm64": 183}


def native_faults(code: Path, architecture: str = "x86_64") -> Iterator[str]:
    """Libraries for another Python or processor, or that need a later glibc than the runtime's."""
    tag = f"cpython-{RUNTIME.removeprefix('python').replace('.', '')}"
    for path in sorted(code.rglob("*.so*")):
        data = path.read_bytes()
        name = path.relative_to(code)
        if ".cpython-" in path.name and f".{tag}-" not in path.name:
            yield f"{name}: not for {RUNTIME}"
        machine = int.from_bytes(data[18:20], "little")
        if data[:4] != b"\x7fELF" or machine != MACHINES[architecture]:
            yield f"{name}: not for {architecture}"
        needed = max(
            ((int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", data)),
            default=(0, 0),
        )
        if needed > RUNTIME_GLIBC:
            yield f"{name}: needs glibc {needed[0]}.{needed[1]}"


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def zipped_bytes(folder: Path) -> int:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.tell()


def load(build: Path, folder: str, program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program with just what Lambda would give the function: its package and its layers."""
    function = next(
        function for function in Deployment(TEMPLATE, {}).functions if function.name == folder
    )
    layers = [str(code_of(build, layer)[0]) for layer in as_list(function.properties["Layers"])]
    # A later layer covers an earlier one.
    path = [str(build / function.logical_id), *reversed(layers)]
    return run(
        # Isolated, and without the packages that are installed here.
        *(sys.executable, "-I", "-S", "-B", "-c", f"import sys; sys.path[:0] = {path}\n{program}"),
        env={**ENVIRONMENT, "DATABASE_ADMIN_URL": ENVIRONMENT["DATABASE_URL"]},
    )


# --- what is built ------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PACKAGES)
def test_every_source_has_bytecode_that_the_runtime_takes_as_it_is(
    own_build: Path, package: str
) -> None:
    code, runtime_folder = code_of(own_build, package)

    assert list(code.rglob("*.py"))
    assert list(bytecode_faults(code, runtime_folder)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_shipped_that_nobody_needs_there(build: Path, package: str) -> None:
    assert list(leftovers(code_of(build, package)[0])) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_native_code_fits_the_runtime(build: Path, package: str) -> None:
    assert list(native_faults(code_of(build, package)[0])) == []


def test_the_layers_can_be_built_for_the_other_processor(tmp_path: Path) -> None:
    """As `Architecture=arm64` wants it, on whatever this machine is."""
    output_of(
        *("make", "--makefile", RECIPE, "build-DependenciesLayer"),
        cwd=ROOT / "layers" / "dependencies",
        env={**os.environ, "ARTIFACTS_DIR": str(tmp_path), "LAMBDA_ARCHITECTURE": "arm64"},
    )

    assert list(native_faults(tmp_path, "arm64")) == []
    names = {path.name.partition(".")[0] for path in tmp_path.rglob("*.so")}
    assert {"_imaging", "orjson"} <= names
    assert size_bytes(tmp_path) < MAX_UNZIPPED_BYTES


def test_there_is_native_code_to_look_at(build: Path) -> None:
    names = {path.name.partition(".")[0] for path in build.rglob("*.so*")}

    assert {"_pydantic_core", "_imaging", "_pillow_heif", "orjson"} <= names


def test_function_and_layers_are_within_lambdas_limits(build: Path) -> None:
    zipped = {package: zipped_bytes(build / package) for package in PACKAGES}
    assert {name: size for name, size in zipped.items() if size >= MAX_ZIPPED_BYTES} == {}
    # The largest function with every layer, whether it has them or not.
    functions = [package for package in PACKAGES if package not in LAYERS]
    largest = max(size_bytes(build / package) for package in functions)
    assert largest + sum(size_bytes(build / layer) for layer in LAYERS) < MAX_UNZIPPED_BYTES


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_loads_from_its_package_and_layers_alone(own_build: Path, function: str) -> None:
    # Compiling would mean that some bytecode was not taken.
    loaded = load(
        own_build,
        function,
        "def refuse(*_): raise AssertionError('a source was compiled')\n"
        "sys.modules['_frozen_importlib_external'].SourceLoader.source_to_code = refuse\n"
        "import app\n"
        "print(callable(app.lambda_handler))",
    )

    assert (loaded.returncode, loaded.stdout) == (0, "True\n"), loaded.stderr


def test_the_clients_of_every_service_that_the_code_calls_can_be_made(own_build: Path) -> None:
    services = services_called()
    assert "s3" in services
    loaded = load(
        own_build,
        "upload",
        f"import boto3\nfor name in {sorted(services)}: boto3.client(name, 'eu-west-1')\n"
        "boto3.client('s3', 'eu-west-1').generate_presigned_post('bucket', 'key')",
    )

    assert loaded.returncode == 0, loaded.stderr


def test_without_the_runtimes_python_a_package_has_no_bytecode_and_that_is_said(
    tmp_path: Path,
) -> None:
    said = output_of(
        *("make", "--makefile", RECIPE, "build-DocsFunction"),
        cwd=ROOT / "functions" / "docs",
        env={**os.environ, "ARTIFACTS_DIR": str(tmp_path), "LAMBDA_RUNTIME": "python3.99"},
    )

    assert (tmp_path / "app.py").is_file()
    assert list(tmp_path.rglob("*.pyc")) == []
    assert said.startswith("DocsFunction: no Python 3.99 here, so no bytecode")


# --- the checks find what is wrong --------------------------------------------------------------


@pytest.fixture
def package(own_build: Path, tmp_path: Path) -> Path:
    """A copy of one package, to be spoilt."""
    return shutil.copytree(own_build / "RegisterFunction", tmp_path / "RegisterFunction")


def test_missing_and_stale_bytecode_is_found(package: Path) -> None:
    compiled = package / "__pycache__" / f"app.{sys.implementation.cache_tag}.pyc"
    good = compiled.read_bytes()

    def found() -> list[str]:
        return list(bytecode_faults(package, "/var/task"))

    assert found() == []
    compiled.write_bytes(good[:4] + bytes([3, 0, 0, 0]) + good[8:])
    assert found() == ["app.py: the runtime would compare times or read the source"]
    compiled.write_bytes(b"\0\0\0\0" + good[4:])
    assert found() == ["app.py: bytecode of another Python"]
    compiled.write_bytes(good)
    (package / "app.py").write_text("changed = True\n")
    assert found() == ["app.py: bytecode of another source"]
    compiled.rename(package / "__pycache__" / "app.cpython-399.pyc")
    assert found() == [
        "app.py: no bytecode",
        "__pycache__/app.cpython-399.pyc: bytecode without its source",
    ]


def test_bytecode_that_names_the_builders_folder_is_found(package: Path) -> None:
    output_of(
        *(sys.executable, "-m", "compileall", "-qf"),
        *("--invalidation-mode", "unchecked-hash", package),
    )

    assert list(bytecode_faults(package, "/var/task")) == [
        f"app.py: says it was at {package / 'app.py'}"
    ]


def test_what_does_not_belong_there_is_found(package: Path) -> None:
    for name in ("bin", "tests", "botocore/data/ec2", "botocore/data/s3"):
        (package / name).mkdir(parents=True)
    (package / "requirements.txt").touch()

    assert list(leftovers(package)) == ["bin", "requirements.txt", "tests", "botocore/data/ec2"]


def test_native_code_of_another_machine_is_found(package: Path) -> None:
    header = b"\x7fELF" + bytes(14)
    (package / "new.so").write_bytes(header + b"\x3e\0" + b"GLIBC_2.9\0GLIBC_2.35\0")
    (package / "arm.so.1").write_bytes(header + b"\xb7\0" + b"GLIBC_2.17\0")
    (package / "good.so").write_bytes(header + b"\x3e\0" + b"GLIBC_2.34\0")
    (package / "old.cpython-311-x86_64-linux-gnu.so").write_bytes(header + b"\x3e\0")

    assert list(native_faults(package)) == [
        "arm.so.1: not for x86_64",
        "new.so: needs glibc 2.35",
        "old.cpython-311-x86_64-linux-gnu.so: not for python3.13",
    ]
    assert "good.so: not for arm64" in list(native_faults(package, "arm64"))


def test_a_package_that_compiles_at_load_is_found(own_build: Path) -> None:
    loaded = load(
        own_build,
        "register",
        "sys.dont_write_bytecode = True\n"
        "def refuse(*_): raise AssertionError('a source was compiled')\n"
        "sys.modules['_frozen_importlib_external'].SourceLoader.source_to_code = refuse\n"
        "sys.implementation.cache_tag = 'none'\n"
        "import app",
    )

    assert "a source was compiled" in loaded.stderr
