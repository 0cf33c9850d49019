"""Metrics of image quality that can be believed: equal N, floors and ceilings, intervals, refusals.

Lightning is imported first on purpose: where torch-fidelity is installed without torchvision, the first
import of torchmetrics fails, and Lightning survives it.
"""

import lightning.pytorch  # noqa: F401
