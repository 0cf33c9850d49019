"""A small app for the emulator's own tests: every way for a function to end."""

import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import modal

app = modal.App("emulator-sample")
here = Path(__file__).parent
image = (
    modal.Image.debian_slim(python_version="3.11")
    .uv_pip_install("numpy==2.1.0")
    .env({"GREETING": "good day"})
    .add_local_dir(here / "sample_files", "/root/sample_files")
)
volume = modal.Volume.from_name("sample-volume", create_if_missing=True, version=2)
kept = Path("/kept")
retries = modal.Retries(max_retries=2, initial_delay=0.0)


@app.function(image=image, gpu=["H100", "A100-80GB:2", "L4"], timeout=3600, retries=retries)
def add(a: int, b: int) -> int:
    """Return a sum, and print on both streams."""
    print(f"adding {a} and {b}")
    print("to the error stream", file=sys.stderr)
    return a + b


@app.function(image=image, retries=retries)
def refuse(reason: str) -> None:
    """Raise."""
    raise ValueError(reason)


@app.function(image=image, secrets=[modal.Secret.from_dict({"PASSWORD": "swordfish"})])
def look_around(folder: str) -> dict[str, object]:
    """Report what a container sees."""
    return {
        "greeting": os.environ["GREETING"],
        "password": os.environ["PASSWORD"],
        "in_code_folder": Path.cwd() == here,
        "code": sorted(path.name for path in here.iterdir() if path.name[0] not in "._"),
        "data": (here / "sample_files" / "data.txt").read_text(),
        "folder": Path(folder).exists(),
        "project": importlib.util.find_spec("lightning_modules") is not None,
        "remote": not modal.is_local(),
    }


@app.function(image=image)
def echo(content: bytes) -> bytes:
    """Return what is given."""
    return content


@app.function(image=image, volumes={kept: volume}, single_use_containers=True, retries=retries, timeout=600)
def count_to(number: int, commit: bool) -> list[int]:
    """Count on from the Volume, a file for each number; after each but the last, wait to be ended.

    Returns:
        The numbers that were there at the start.
    """
    found = sorted(int(path.name) for path in kept.iterdir())
    print(f"found {found}")
    for value in range(len(found), number):
        (kept / str(value)).write_text(f"number {value}")
        if commit:
            volume.commit()
        print(f"wrote {value}")
        if value < number - 1:
            print("pausing")
            signal.pause()
    return found


@app.function(image=image, volumes={kept: volume}, single_use_containers=True, timeout=1)
def overrun() -> None:
    """Take longer than the timeout."""
    signal.pause()


@app.function(image=image, volumes={kept: volume}, single_use_containers=True)
def be_deaf() -> str:
    """Ignore SIGINT, the first time."""
    if (kept / "deaf").exists():
        return "came back"
    (kept / "deaf").touch()
    volume.commit()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("pausing")
    signal.pause()
    return "heard something"


@app.function(image=image, single_use_containers=True)
def exit_at_interrupt() -> None:
    """Turn an interruption into an exit, as frameworks do."""
    try:
        print("pausing")
        signal.pause()
    except KeyboardInterrupt:
        sys.exit(75)


@app.function(image=image, volumes={kept: volume})
def reload_with_open_file() -> str:
    """Reload the Volume with a file of it open, then with none; what came of it."""
    with (kept / "open.txt").open("w") as file:
        file.write("text")
        file.flush()
        try:
            volume.reload()
            return "reloaded"
        except RuntimeError as error:
            reason = str(error)
    volume.reload()
    return reason


@app.function(image=image)
@modal.concurrent(max_inputs=10)
@modal.wsgi_app()
def site():
    """Answer with the request's method, path, query and body."""

    def answer(environ, start_response):
        start_response(
            "201 Created", [("Content-Type", "text/plain"), ("X-Task", os.environ["MODAL_TASK_ID"])]
        )
        yield f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['QUERY_STRING']} ".encode()
        yield environ["wsgi.input"].read()

    return answer


@app.local_entrypoint()
def main(a: int = 2, b: int = 3):
    """Add in the cloud."""
    print("the sum is", add.remote(a, b))


@app.local_entrypoint()
def count(number: int = 3, commit: bool = True):
    """Count in the cloud."""
    print("counted on from", count_to.remote(number, commit))


@app.local_entrypoint()
def report(folder: str):
    """Print what a container sees, as JSON, and whether three MiB come back whole."""
    print("REPORT", json.dumps(look_around.remote(folder)))
    content = os.urandom(3 * 2**20)
    print("echoed", echo.remote(content) == content)


@app.local_entrypoint()
def call(function: str):
    """Call a function that takes nothing."""
    print("returned", {"be_deaf": be_deaf, "reload": reload_with_open_file}[function].remote())


@app.local_entrypoint()
def given(*arguments: str):
    """Take the command line as it is."""
    print("given", list(arguments))


@app.local_entrypoint()
def spawn(number: int = 1):
    """Start a count and leave."""
    print("spawned", count_to.spawn(number, True).object_id)
