"""What suits these images, with evidence: which layers transfer, and which labels are likely wrong."""
