"""Folders of images as batches that are a pure function of (seed, step).

`image_folder` holds the LightningDataModule, `batches` what it deals out (`balance`: as much of every class),
`finishing` the last steps on the device (`crop`, `augmentation`). The rest needs neither torch nor Lightning:
`index` (what is in a folder), `decode` (one file), `pixels` (where they are read from), `cache` (all of them,
decoded once; with `cache_build` and `cache_format`), `order` (which image comes when, and who is held out).
A `source` puts a folder on disk: `rendered_cats`, `oxford_pets`.
"""
