"""Runs the pipeline for the tables of `evals`: inputs and models here, numbers there."""
