"""What a person touches: the pipeline, the export of videos, the command line."""
