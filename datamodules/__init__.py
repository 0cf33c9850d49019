"""Folders of images as batches that are a pure function of (seed, step).

`image_folder` holds the LightningDataModule, `batches` what it deals out. The rest needs neither torch nor
Lightning: `index` (what is in a folder), `decode` (one file), `cache` (all of them, decoded once), `order`
(which image comes when, and who is held out). A `source` puts a folder on disk: `drawn_cats`, `oxford_pets`.
"""
