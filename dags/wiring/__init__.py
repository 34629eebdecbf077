"""What the DAG files share: Datasets, the day of a run, the shape of an extraction DAG."""
