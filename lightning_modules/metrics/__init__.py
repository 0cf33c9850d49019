"""Metrics of image quality that can be believed: equal N, floors and ceilings, intervals, refusals.

What imports torchmetrics imports Lightning first: where torch-fidelity is installed without torchvision, the
first import of torchmetrics fails, and Lightning survives it.
"""
