"""The business view: a Streamlit page on the published marts. Reads, and nothing else."""
