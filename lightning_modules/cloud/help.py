"""What `modal run modal_entry.py::NAME --help` says; Modal's own answer would be a list of its options."""

FIT = """Train a run on a GPU, with the options of ninelives fit.

  modal run modal_entry.py::fit --config cats
  modal run modal_entry.py::fit --config cats --data.root my_images        a folder that was uploaded
  modal run --detach modal_entry.py::fit --config cats --max-usd 5         goes on without this machine
  modal run modal_entry.py::fit --config cats                              once more: continues the run
  modal run modal_entry.py::fit --config cats --fresh                      another run
  modal run modal_entry.py::fit --config cats --modal.gpu L40S,A10         GPUs in order of preference
  modal run modal_entry.py::fit --config cats --print_config               the configuration, without training

What to ask Modal for is the configuration's section modal: gpu, cpu, memory, timeout, region, max_retries,
max_usd, data_volume, runs_volume. All options: ninelives fit --help all
"""

SAMPLE = """Sample images from a run on the runs Volume, with the options of ninelives sample, into sampled/.

  modal run modal_entry.py::sample cats                                    the newest run of the experiment
  modal run modal_entry.py::sample cats/2026-11-23T19-12-31Z --n 64 --guidance 2
  modal run modal_entry.py::sample cats --labels Siamese,Bengal --out pictures

The run comes first. Further options: --modal.gpu, --modal.runs_volume, and those of
ninelives sample --help
"""

EVALUATE = """Measure the quality of a run's samples, with the options of ninelives evaluate.

  modal run modal_entry.py::evaluate cats                                  the newest run of the experiment
  modal run modal_entry.py::evaluate cats/2026-11-23T19-12-31Z --n 1000 --out quality

The run comes first. Report and plots go into evaluation/ here. Further options: --modal.gpu,
--modal.runs_volume, --modal.data_volume, and those of ninelives evaluate --help
"""

TENSORBOARD = """Serve TensorBoard over all runs on the runs Volume, until Ctrl-C.

  modal run modal_entry.py::tensorboard
  modal run modal_entry.py::tensorboard --modal.runs_volume my-runs

It prints a link with a token, new each time. Without it, or the cookie that it leaves, nothing is shown.
"""

UPLOAD_DATA = """Upload a folder of images to the data Volume; files that are there are skipped.

  modal run modal_entry.py::upload_data my_images
  modal run modal_entry.py::upload_data my_images --modal.data_volume my-data

Sub-folders become classes. Train on it with: modal run modal_entry.py::fit --data.root my_images
"""

HELP = {
    "fit": FIT,
    "sample": SAMPLE,
    "evaluate": EVALUATE,
    "tensorboard": TENSORBOARD,
    "upload_data": UPLOAD_DATA,
}
