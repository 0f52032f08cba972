"""From a file to pixels, and what is known of files that were looked at. No torch but in `images`."""
