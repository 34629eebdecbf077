"""What people do to a running deployment, near or far, over Airflow's REST API."""
