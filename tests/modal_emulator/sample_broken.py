"""An app that cannot be imported in its container."""

import modal

app = modal.App("emulator-broken")

if not modal.is_local():
    import a_module_that_is_not_there  # noqa: F401


@app.function(retries=3)
def never_runs() -> None:
    """Do nothing."""


@app.local_entrypoint()
def main():
    """Call it."""
    never_runs.remote()
