"""Where images come from: one file a format for what is known without loading, one for loading."""
