"""The page "Pipeline" in Airflow's UI: days by sources, what needs somebody, actions and plots."""
