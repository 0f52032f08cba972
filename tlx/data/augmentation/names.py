"""Names of augmentations that concern more than one image. Only the standard library."""

MOSAIC, IMAGES = "mosaic", 4  # the augmentation, and the images that a mosaic shows
