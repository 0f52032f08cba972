"""Resizing and augmentation of images, and their random numbers."""
